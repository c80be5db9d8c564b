"""What the values of options must be, where an option's type does not say it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from attnimg.errors import UsageError

T = TypeVar("T")


def tell_apart(files: Mapping[str, Path | None]) -> None:
    """Check that files that are written differ. files: by option. UsageError: two are one, maybe by way of a link."""
    known: dict[str, str] = {}  # options by the file's own name
    for option, path in files.items():
        if path is not None and (other := known.setdefault(os.path.realpath(path), option)) != option:
            raise UsageError(f"{other} and {option} are two files; name another one for {option}.")


def parse_side(option: str, value: str, least: int, **words: T) -> int | T:
    """Return the pixels that an option names, or what one of the words in their place stands for. UsageError: neither.

    least: of the pixels.
    """
    if value in words:
        return words[value]
    if not value.isdecimal() or int(value) < least:
        known = ", ".join(words)
        raise UsageError(f"{option} is {known} or a number of pixels, at least {least}, not {value!r}.")
    return int(value)
