"""Checks of option values that their types do not express."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from attnimg.errors import UsageError

T = TypeVar("T")


def check_distinct(files: Mapping[str, Path | None]) -> None:
    """Raise UsageError if two options name the same output file, maybe through a link. files: by option."""
    known: dict[str, str] = {}  # options by the file's own name
    for option, path in files.items():
        if path is not None and (other := known.setdefault(os.path.realpath(path), option)) != option:
            raise UsageError(f"{other} and {option} name the same file. Name another file for {option}.")


def parse_side(option: str, value: str, minimum: int, **words: T) -> int | T:
    """Return a number of pixels, or the value of a word. UsageError: it is neither.

    minimum: smallest accepted number, in pixels.
    """
    if value in words:
        return words[value]
    if not value.isdecimal() or int(value) < minimum:
        known = ", ".join(words)
        raise UsageError(f"{option} is {value!r}; give {known} or a number of pixels, at least {minimum}.")
    return int(value)
