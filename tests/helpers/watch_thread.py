"""A watched folder, as commands have it: on a thread of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path, PurePath
from queue import Empty, Queue
from threading import Event, Thread

from attnimg.files.source import Source
from attnimg.files.walk import Walker
from attnimg.files.watch import SEARCH_EVERY, watch

JPEG = b"\xff\xd8\xff\xe0" + bytes(60)
QUICK = 0.15  # seconds after which a file is whole here
PATIENCE = 30.0  # seconds until a busy machine has failed
ENDED = Source("the watch has ended", PurePath())


class Watch:
    """A watch, from which a test takes what has come."""

    def __init__(
        self, *inputs: Path, settle: float = QUICK, search_every: float = SEARCH_EVERY, **options: object
    ) -> None:
        self._found: Queue[Source] = Queue()
        self._stop = Event()
        walker = Walker(**options)  # type: ignore[arg-type]
        self.sources = watch(inputs, walker, settle=settle, search_every=search_every)
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for source in self.sources:
            self._found.put(source)
            if self._stop.is_set():
                return
        self._found.put(ENDED)

    def take(self, count: int) -> list[Source]:
        return [self._found.get(timeout=PATIENCE) for _ in range(count)]

    def names(self, count: int) -> list[str]:
        return sorted(source.relative.as_posix() for source in self.take(count))

    def rest(self, seconds: float) -> list[str]:
        """What comes within a time."""
        time.sleep(seconds)
        found = []
        while True:
            try:
                found.append(self._found.get_nowait().relative.as_posix())
            except Empty:
                return found

    def stop(self) -> None:
        self._stop.set()


Start = Callable[..., Watch]


def write(path: Path, data: bytes = JPEG, *, old: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if old:
        os.utime(path, (1e9, 1e9))
    return path
