"""The part of a data set that is measured, and how progress is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attnimg.errors import UsageError

Watch = Callable[[int, int | None], object]
"""Takes how many images are done, and how many there are."""


def measured_part(data: Path) -> Path:
    """Return DATA/val, or DATA if it has no parts. UsageError: there is none."""
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder; give the one that holds the data set.")
    if (data / "val").is_dir():
        return data / "val"
    if (data / "train").is_dir():
        raise UsageError(f"{data} has no val/; name the folder to measure on, such as {data / 'train'}.")
    return data
