"""The stream: sources in, records out, in input order, in bounded memory, each failure kept to its image.

    sources ──> admit ──> read ──> batch ──> predict ──> write ──> records
    (feeder's thread)   (pool)     (calling thread)     (pool)     (calling thread)

The calling thread drives the device and hands out records, so that Ctrl-C and a closed pipe arrive where everything can
be stopped. Threads do the rest: decoding releases Python's lock, and a source may block (a list on stdin). All of them
share one small state behind one lock. Only the feeder waits for room: what was admitted can always finish.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Hashable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from attnimg.errors import ImageError
from attnimg.images.find import Source
from attnimg.pipeline.job import Job, Outcome, Ready
from attnimg.results import Failed, Record

GRACE = 0.5  # seconds; a write of one image is over by then


def stream(
    sources: Iterable[Source],
    job: Job[Ready, Outcome],
    *,
    batch_size: int,
    workers: int,
    window: int = 512,
    pixels: int = 1 << 26,
    patience: float = 0.2,
) -> Generator[Record, None, None]:
    """Yield exactly one record per source, in order, each as soon as it and all before it are known.

    batch_size: most images in one call of `job.predict`. workers: threads that read and write.
    window: most images between source and record, so that one slow image cannot make the others pile up.
    pixels: reading pauses while this many pixels are held (it may be passed by the `2 * workers` images under way).
    patience: seconds that an image waits for others of its shape before its batch goes as it is.

    An exception that is neither `ImageError` nor `MemoryError` is a bug, or the sources' own, and is raised here: in
    its image's turn, but from `job.predict` at once. Close the generator to stop early (`contextlib.closing`): what is
    queued is dropped, steps under way get `GRACE` to finish, threads end; what blocks on its source or in a read for
    longer is left behind.
    """
    run = _Run(job, batch_size, workers, window, pixels, patience)
    # Not on the pool: the interpreter waits for a pool's threads at exit, and a read from stdin may never return.
    threading.Thread(target=run.feed, args=(sources,), name="attnimg-feed", daemon=True).start()
    try:
        yield from run.records()
    finally:
        run.stop()


@dataclass(slots=True, eq=False)
class _Slot:
    """One image's place in the order. `record` or `bug` is set once, when the image's way ends."""

    source: Source
    record: Record | None = None
    bug: BaseException | None = None

    @property
    def settled(self) -> bool:
        return self.record is not None or self.bug is not None


@dataclass(slots=True, eq=False)
class _Image(Generic[Ready]):
    """One image that is in memory; `pixels` of the budget are its."""

    slot: _Slot
    ready: Ready
    pixels: int


@dataclass(slots=True, eq=False)
class _Batch(Generic[Ready]):
    """Images of one shape, and since when (`time.monotonic`) the first of them waits."""

    images: list[_Image[Ready]]
    since: float


class _Run(Generic[Ready, Outcome]):
    """One run's state. `feed` runs on the feeder's thread, `_read` and `_write` on the pool's, the rest on ours."""

    def __init__(
        self, job: Job[Ready, Outcome], batch_size: int, workers: int, window: int, pixels: int, patience: float
    ) -> None:
        self.job, self.batch_size, self.patience = job, batch_size, patience
        self.most_reading, self.most_slots, self.most_pixels = 2 * workers, window, pixels
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="attnimg")
        self.lock = threading.Lock()
        self.room = threading.Condition(self.lock)  # the feeder waits for it
        self.news = threading.Condition(self.lock)  # the calling thread waits for it
        self.slots: deque[_Slot] = deque()  # admitted and not yet yielded, in order
        self.partial: dict[Hashable, _Batch[Ready]] = {}  # by shape, in order of `since`
        self.full: deque[_Batch[Ready]] = deque()
        self.reading = self.pixels = 0  # images that readers were given, pixels of those that are in memory
        self.running = 0  # steps under way on the pool
        self.ended = self.stopped = False
        self.bug: BaseException | None = None

    def feed(self, sources: Iterable[Source]) -> None:
        """Admit sources and hand them to the readers as room allows, until they end or the run is stopped."""
        try:
            for source in sources:
                slot = _Slot(source)
                with _settling(slot):
                    slot.record = self._admit(source)
                with self.lock:
                    self.room.wait_for(lambda: self.stopped or self._has_room())
                    if self.stopped:
                        return
                    if not slot.settled:
                        self.pool.submit(self._read, slot)
                        self.reading += 1
                    self.slots.append(slot)
                    self.news.notify()
        except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
            self.bug = error
        finally:
            with self.lock:
                self.ended = True
                self.news.notify()

    def records(self) -> Iterator[Record]:
        """Yield what is known, predict what is due, else wait."""
        while True:
            with self.lock:
                slot = self._take_known()
                batch = None if slot else self._take_due()
                if not slot and not batch:
                    if self.ended and not self.slots:
                        break
                    self.news.wait(self._remaining_patience())
                    continue
            if batch:
                self._predict(batch.images)
            elif slot and slot.record:
                yield slot.record
            elif slot and slot.bug:
                raise slot.bug
        if self.bug:
            raise self.bug

    def stop(self) -> None:
        """Drop what is queued and give the steps under way a moment; nothing is admitted after this."""
        with self.lock:
            self.stopped = True
            self.room.notify()
        self.pool.shutdown(wait=False, cancel_futures=True)
        with self.lock:
            self.news.wait_for(lambda: not self.running, GRACE)

    def _has_room(self) -> bool:
        return self.reading < self.most_reading and len(self.slots) < self.most_slots and self.pixels < self.most_pixels

    def _admit(self, source: Source) -> Record | None:
        if source.error:
            raise source.error
        return self.job.admit(source)

    def _read(self, slot: _Slot) -> None:
        with self._under_way(), _settling(slot):
            ready = self.job.read(slot.source)
            self._join_batch(_Image(slot, ready, self.job.pixels(ready)), self.job.shape(ready))
        with self.lock:
            self.reading -= 1
            self.room.notify()
            self.news.notify()

    def _join_batch(self, image: _Image[Ready], shape: Hashable) -> None:
        with self.lock:
            batch = self.partial.setdefault(shape, _Batch([], time.monotonic()))
            batch.images.append(image)
            self.pixels += image.pixels
            if len(batch.images) == self.batch_size:
                self.full.append(self.partial.pop(shape))

    def _take_known(self) -> _Slot | None:
        if not self.slots or not self.slots[0].settled:
            return None
        self.room.notify()
        return self.slots.popleft()

    def _take_due(self) -> _Batch[Ready] | None:
        """Take the batch that waits longest among the full ones and the partial one whose patience is over."""
        shape, partial = next(iter(self.partial.items()), (None, None))
        first_full = self.full[0].since if self.full else float("inf")
        if partial and partial.since < first_full and self._remaining_patience() == 0:
            return self.partial.pop(shape)
        return self.full.popleft() if self.full else None

    def _remaining_patience(self) -> float | None:
        """Seconds until the oldest partial batch goes; 0 once nothing can join it, None when there is none."""
        if not self.partial:
            return None
        if not self.reading and (self.ended or not self._has_room()):
            return 0
        return max(0, next(iter(self.partial.values())).since + self.patience - time.monotonic())

    def _predict(self, images: list[_Image[Ready]]) -> None:
        try:
            outcomes = self.job.predict([image.ready for image in images])
        except (ImageError, MemoryError) as error:
            if len(images) == 1:
                images[0].slot.record = _failure(images[0].slot.source, error)
                self._release(images[0])
                return
        else:
            for image, outcome in zip(images, outcomes, strict=True):
                self.pool.submit(self._write, image, outcome)
            return
        # Only now, as the exception's traceback kept the failed batch's memory alive.
        for image in images:
            self._predict([image])

    def _write(self, image: _Image[Ready], outcome: Outcome) -> None:
        with self._under_way(), _settling(image.slot):
            image.slot.record = self.job.write(image.slot.source, image.ready, outcome)
        self._release(image)

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        with self.lock:
            self.running += 1
        try:
            yield
        finally:
            with self.lock:
                self.running -= 1
                self.news.notify()

    def _release(self, image: _Image[Ready]) -> None:
        with self.lock:
            self.pixels -= image.pixels
            self.room.notify()
            self.news.notify()


@contextmanager
def _settling(slot: _Slot) -> Iterator[None]:
    """Turn what goes wrong with an image into its record, and keep a bug for the calling thread."""
    try:
        yield
    except (ImageError, MemoryError) as error:
        slot.record = _failure(slot.source, error)
    except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
        slot.bug = error


def _failure(source: Source, error: ImageError | MemoryError) -> Failed:
    if isinstance(error, ImageError):
        return Failed(source.path, error.kind, error.message)
    return Failed(
        source.path,
        "out-of-memory",
        "There is not enough memory for this image. Try fewer --workers or --device cpu, or make the image smaller.",
    )
