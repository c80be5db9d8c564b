"""Ctrl-C and SIGTERM wait for the end of a step: half a step on disk could not be resumed exactly."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def deferred_signals() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Hold back SIGINT and SIGTERM; the yielded function, called between steps, lets one through that has come.

    It takes what is to be done first, such as saving. A second signal is let through at once. On other threads than the
    main one, where Python has no handlers, nothing is held back.
    """
    came: list[int] = []
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            before[number](number, frame)

    def let_through(first: Callable[[], None]) -> None:
        if came:
            first()
            before[came[0]](came[0], None)

    if threading.current_thread() is threading.main_thread():
        for held in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(held)):
                before[held] = signal.signal(held, note)
    try:
        yield let_through
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
