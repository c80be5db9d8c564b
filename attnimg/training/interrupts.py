"""Deferral of Ctrl-C and SIGTERM to the end of a training step: half a step could not be resumed exactly."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def deferred_signals() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Defer SIGINT and SIGTERM, and yield a function `deliver(first)` to call between steps.

    If a signal has arrived, it calls `first`, such as saving, and then the signal's own handler. A second signal is
    handled at once. Python has signal handlers on the main thread only; on other threads nothing is deferred.
    """
    arrived: list[int] = []
    handlers: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) > 1:
            handlers[number](number, frame)

    def deliver(first: Callable[[], None]) -> None:
        if arrived:
            first()
            handlers[arrived[0]](arrived[0], None)

    if threading.current_thread() is threading.main_thread():
        for deferred in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(deferred)):
                handlers[deferred] = signal.signal(deferred, note)
    try:
        yield deliver
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
