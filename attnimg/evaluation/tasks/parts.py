"""The part of a data set that is measured, and the callback for progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attnimg.errors import UsageError

Watch = Callable[[int, int | None], object]
"""Takes the number of images that are done, and the total."""


def measured_part(data: Path) -> Path:
    """Return DATA/val, or DATA if it has no parts. UsageError: there is neither."""
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder. Name the folder of the data set.")
    if (data / "val").is_dir():
        return data / "val"
    if (data / "train").is_dir():
        raise UsageError(f"{data} has no val/. Name the folder to measure on, such as {data / 'train'}.")
    return data
