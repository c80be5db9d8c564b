"""A job on numbers instead of images, whose stations sleep or fail as a test wants them to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from attnimg.errors import ImageError
from attnimg.files.outputs import Output, Outputs
from attnimg.files.source import Source
from attnimg.images.probe import probe
from attnimg.pipeline.job import Job, Tell
from attnimg.pipeline.stream import stream
from attnimg.records import Classified, Record, Skipped

BROKEN = ImageError("damaged", "The file is cut short.")


def make_sources(count: int) -> list[Source]:
    return [Source(str(i), PurePath(str(i))) for i in range(count)]


class NumberJob(Job[int, int]):
    """A job that makes of each number its negative.

    `at[station]` is called with the image's number at each station, `predict` with a batch; both may sleep or raise.
    `pixels` of an image: by its number. `most_held`: pixels that were being read and held at one time. `unbatched`:
    numbers that are processed one by one.
    """

    def __init__(
        self,
        at: Mapping[str, Callable[[int], object]] | None = None,
        *,
        shapes: int = 1,
        pixels: Callable[[int], int] = lambda _: 100,
        predict: Callable[[list[int]], None] = lambda _: None,
        unbatched: Container[int] = (),
    ) -> None:
        self.shapes, self.at, self.pixels, self.check = shapes, at or {}, pixels, predict
        self.unbatched = unbatched
        self.lock = threading.Lock()
        self.held = self.most_held = self.admitted = 0
        self.batches: list[list[int]] = []

    def visit(self, station: str, number: int) -> object:
        return self.at[station](number) if station in self.at else None

    def hold(self, pixels: int) -> None:
        with self.lock:
            self.held += pixels
            self.most_held = max(self.held, self.most_held)

    def admit(self, source: Source) -> Record | Outputs:
        self.admitted += 1
        skip = self.visit("admit", int(source.path))
        return Skipped(source.path, "there") if skip else {"output": Output(Path(source.path))}

    def is_batched(self, source: Source) -> bool:
        return int(source.path) not in self.unbatched

    def read(self, source: Source, outputs: Outputs) -> int:
        assert outputs == {"output": Output(Path(source.path))}
        number = int(source.path)
        self.hold(self.pixels(number))
        try:
            self.visit("read", number)
        except ImageError:
            self.hold(-self.pixels(number))
            raise
        return number

    def shape(self, ready: int) -> Hashable:
        return ready % self.shapes

    def predict(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        self.check(batch)
        for number in batch:
            self.visit("predict", number)
        return [-number for number in batch]

    def write(self, source: Source, ready: int, outcome: int) -> Record:
        self.visit("write", ready)
        self.hold(-self.pixels(ready))
        return Classified(source.path, str(outcome), ())

    def process(self, source: Source, outputs: Outputs, tell: Tell) -> Record:
        assert outputs == {"output": Output(Path(source.path))}
        tell(f"at {source.path}")
        self.visit("process", int(source.path))
        return Classified(source.path, str(-int(source.path)), ())


def fail_for(*numbers: int, error: BaseException = BROKEN) -> Callable[[int], None]:
    def visit(number: int) -> None:
        if number in numbers:
            raise error

    return visit


def nap(_: int) -> None:
    time.sleep(0.001)


def run(sources: Iterable[Source], job: NumberJob, **options: Any) -> list[Record]:
    return list(stream(sources, job, **{"batch_size": 4, "workers": 3, "probe": probe, **options}))


def paths(records: Iterable[Record]) -> list[str]:
    return [record.path for record in records]
