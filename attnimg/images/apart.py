"""Where files are looked into before they are read: in this process, or in others, whose end is not the run's.

Whoever looks (`sizes.measure`, `whole.is_whole`) is called from places that know nothing of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from attnimg.images.source import Source

T = TypeVar("T")


class Caller(Protocol):
    """What calls a module's function with a source, here or elsewhere."""

    def __call__(self, function: Callable[[Source], T], source: Source, /) -> T:
        """Return what it returns. Raises ImageError as it does, or when it came to no end."""


def _call_here(function: Callable[[Source], T], source: Source, /) -> T:
    return function(source)


_caller: Caller = _call_here


def call(function: Callable[[Source], T], source: Source) -> T:
    """Call a function where functions are called now."""
    return _caller(function, source)


@contextmanager
def calling_by(caller: Caller) -> Iterator[None]:
    """Have functions called by `caller`, from all threads."""
    global _caller
    _caller = caller
    try:
        yield
    finally:
        _caller = _call_here
