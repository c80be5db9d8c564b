"""Progress on stderr: a bar on a terminal, lines in a log, nothing if quiet.

It shows numbers only; no file name passes through here, so that none can be read as markup.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TextIO

LOG_EVERY = 10.0  # seconds
REDRAW_AFTER = 0.1  # seconds of silence after which a bar that shares the terminal with results is shown again


class Progress:
    """Null progress reporter."""

    def update(self, done: int, total: int | None, note: str = "") -> None:
        """Show that `done` of `total` (None: unknown) are finished. note: a few words."""

    def step(self, note: str) -> None:
        """Show the progress of a single long input, in words."""

    def paused_for_stdout(self) -> AbstractContextManager[None]:
        """Hide the bar while the block prints results."""
        return nullcontext()

    def paused_for_log(self) -> AbstractContextManager[None]:
        """Hide the bar while the block writes to stderr."""
        return nullcontext()

    def close(self) -> None:
        """Stop showing progress."""


class Log(Progress):
    """Writes a line every `LOG_EVERY` seconds, for a file or another program."""

    def __init__(self, err: TextIO, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.err, self.unit, self.clock = err, unit, clock
        self.started = self.logged = clock()

    def update(self, done: int, total: int | None, note: str = "") -> None:
        """Write the line when it is time."""
        now = self.clock()
        of = f" of {total}" if total is not None else ""
        rate = done / max(now - self.started, 1e-3)
        self._write(now, f"{done}{of} {self.unit}", f"{rate:.1f} per second", note)

    def step(self, note: str) -> None:
        """Write the line when it is time."""
        self._write(self.clock(), note)

    def _write(self, now: float, *parts: str) -> None:
        if now - self.logged >= LOG_EVERY:
            self.logged = now
            with suppress(OSError):  # closed, or on a full disk; the results matter more
                self.err.write(", ".join(filter(None, parts)) + "\n")
                self.err.flush()


class Bar(Progress):
    """Draws rich's bar with count, rate, time left and failures. shared: results are printed on the same terminal."""

    def __init__(self, err: TextIO, unit: str, *, shared: bool) -> None:
        # Only here, as `--help` and pipes need none of it.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        rate, note = TextColumn("{task.fields[rate]:.1f}/s"), TextColumn("{task.fields[note]}", markup=False)
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), rate, TimeRemainingColumn(), note)
        self.bars = Bars(
            *columns, console=Console(file=err), transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self.task = self.bars.add_task(unit, total=None, rate=0.0, note="")
        self.shared = shared
        self.started = self.hidden = time.monotonic()
        self.lock, self.closed = threading.Lock(), threading.Event()
        threading.Thread(target=self._come_back, name="attnimg-bar", daemon=True).start()

    def update(self, done: int, total: int | None, note: str = "") -> None:
        """Set the numbers; a thread of rich's draws them."""
        rate = done / max(time.monotonic() - self.started, 1e-3)
        self.bars.update(self.task, completed=done, total=total, rate=rate, note=note)

    def step(self, note: str) -> None:
        """Set the words next to the numbers."""
        self.bars.update(self.task, note=note)

    def paused_for_stdout(self) -> AbstractContextManager[None]:
        """Hide the bar if results are printed on the same terminal."""
        return self.paused_for_log() if self.shared else nullcontext()

    @contextmanager
    def paused_for_log(self) -> Iterator[None]:
        """Hide the bar during the block and for a moment after it."""
        with self.lock:
            self.bars.stop()
            yield
            self.hidden = time.monotonic()

    def close(self) -> None:
        """Remove the bar."""
        self.closed.set()
        with self.lock:
            self.bars.stop()

    def _come_back(self) -> None:
        while not self.closed.wait(REDRAW_AFTER):
            with self.lock:
                if not self.closed.is_set() and time.monotonic() - self.hidden > REDRAW_AFTER:
                    self.bars.start()
