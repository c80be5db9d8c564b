"""The stream: sources in, records out, in input order, in bounded memory, each failure kept to its image.

    sources ──> admit ──> read ──> batch ──> predict ──> write ──> records
    (feeder's thread)   (pool)     (calling thread)     (pool)     (calling thread)

The calling thread drives the device and hands out records, so that Ctrl-C and a closed pipe arrive where everything can
be stopped. Threads do the rest: decoding releases Python's lock, and a source may block (a list on stdin). All of them
share one small state behind one lock. Only the feeder waits for room: what was admitted can always finish.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from attnimg.errors import ImageError
from attnimg.images.place import Targets
from attnimg.images.source import Source
from attnimg.pipeline.batches import Batch, Batches
from attnimg.pipeline.budget import Budget, Look, look_at
from attnimg.pipeline.job import Job, Outcome, Ready
from attnimg.pipeline.journal import Journal
from attnimg.pipeline.slot import Slot, failed, settling
from attnimg.results import Failed, Record

POOL = "attnimg"  # what its threads' names begin with; those that are there after a stream's end hang
GRACE = 0.5  # seconds; a write of one image is over by then
PIXELS_PER_WORKER = 1 << 25  # a photo of 12 megapixels and its result; larger ones go one by one


def stream(
    sources: Iterable[Source],
    job: Job[Ready, Outcome],
    *,
    batch_size: int,
    workers: int,
    admit: Callable[[Source], Record | Targets] | None = None,
    window: int = 512,
    pixels: int | None = None,
    patience: float = 0.2,
) -> Generator[Record, None, None]:
    """Yield exactly one record per source, in order, each as soon as it and all before it are known.

    batch_size: most images in one call of `job.predict`. workers: threads that read and write. admit: instead of
    `job.admit`, which it calls; it sees the sources with an error, too, and raises that (`Journal.admitting`).
    window: most images between source and record, so that one slow image cannot make the others pile up.
    pixels: most that are held from reading to writing, as far as can be told before reading (see `Budget`); an image of
    more goes alone. None: `PIXELS_PER_WORKER` for each worker, and for two at least.
    patience: seconds that an image waits for others of its shape before its batch goes as it is.

    An exception that is neither `ImageError` nor `MemoryError` is a bug, or the sources' own, and is raised here: in
    its image's turn, but from `job.predict` at once. Close the generator to stop early (`contextlib.closing`): what is
    queued is dropped, steps under way get `GRACE` to finish, threads end; what blocks on its source or in a read for
    longer is left behind.
    """
    budget = Budget(max(2, workers) * PIXELS_PER_WORKER if pixels is None else pixels)
    run = _Run(job, admit or Journal().admitting(job.admit), Batches(batch_size, patience), budget, workers, window)
    # Not on the pool: the interpreter waits for a pool's threads at exit, and a read from stdin may never return.
    threading.Thread(target=run.feed, args=(sources,), name="attnimg-feed", daemon=True).start()
    try:
        yield from run.records()
    finally:
        run.stop()


@dataclass(slots=True, eq=False)
class _Image(Generic[Ready]):
    """One image that is in memory; `pixels` of the budget belong to it."""

    slot: Slot
    ready: Ready
    pixels: int


class _Run(Generic[Ready, Outcome]):
    """One run's state. `feed` runs on the feeder's thread, `_read` and `_write` on the pool's, the rest on ours."""

    def __init__(
        self,
        job: Job[Ready, Outcome],
        admit: Callable[[Source], Record | Targets],
        batches: Batches[_Image[Ready]],
        budget: Budget,
        workers: int,
        window: int,
    ) -> None:
        self.job, self.admit, self.batches, self.budget = job, admit, batches, budget
        self.most_reading, self.most_slots = 2 * workers, window
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix=POOL)
        self.lock = threading.Lock()
        self.room = threading.Condition(self.lock)  # the feeder waits for it
        self.news = threading.Condition(self.lock)  # the calling thread waits for it
        self.slots: deque[Slot] = deque()  # admitted and not yet yielded, in order
        self.next: Look | None = None  # at the next image, if it is to be read
        self.reading = self.running = 0  # images that readers were given, steps under way on the pool
        self.ended = self.stopped = False
        self.bug: BaseException | None = None

    def feed(self, sources: Iterable[Source]) -> None:
        """Admit sources and hand them to the readers as room allows, until they end or the run is stopped."""
        try:
            for source in sources:
                slot = Slot(source)
                targets: Targets = {}
                with settling(slot):
                    admitted = self.admit(source)
                    if isinstance(admitted, dict):
                        targets = admitted
                    else:
                        slot.record = admitted
                look = None if slot.settled else look_at(source)
                with self.lock:
                    self.next = look
                    self.room.wait_for(lambda: self.stopped or self._has_room())
                    if self.stopped:
                        return
                    if look is not None:
                        self.pool.submit(self._read, slot, targets, look, self.budget.expect(look))
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
                batch = None if slot else self.batches.take_due(complete=self._is_complete())
                if not slot and not batch:
                    if self.ended and not self.slots:
                        break
                    self.news.wait(self.batches.remaining_patience(complete=self._is_complete()))
                    continue
            if batch:
                self._predict(batch)
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
            all_done = self.news.wait_for(lambda: not self.running, GRACE)
        if all_done:
            self.pool.shutdown()

    def _has_room(self) -> bool:
        if len(self.slots) >= self.most_slots:
            return False
        return self.next is None or (self.reading < self.most_reading and self.budget.has_room(self.next))

    def _is_complete(self) -> bool:
        """Tell whether no image can join the batches before some of them are predicted."""
        return not self.reading and (self.ended or not self._has_room())

    def _read(self, slot: Slot, targets: Targets, look: Look, expected: int) -> None:
        image, shape = None, None
        with self._under_way(), settling(slot):
            ready = self.job.read(slot.source, targets)
            shape = self.job.shape(ready)
            image = _Image(slot, ready, self.job.pixels(ready))
        with self.lock:
            self.budget.settle(look, expected, image.pixels if image else None)
            if image:
                self.batches.add(image, shape)
            self.reading -= 1
            self.room.notify()
            self.news.notify()

    def _take_known(self) -> Slot | None:
        if not self.slots or not self.slots[0].settled:
            return None
        self.room.notify()
        return self.slots.popleft()

    def _predict(self, batch: Batch[_Image[Ready]]) -> None:
        """Predict a batch, what fails of it by halves; of what memory is too small for, later batches stay halved."""
        parts = [batch.images]  # the next one last
        while parts:
            images, most = parts.pop(), self.batches.most(batch.shape)
            if len(images) <= most:
                failure = self._try(images)
                if not failure:
                    continue
                if len(images) == 1:
                    images[0].slot.record = failure
                    self._release(images[0])
                    continue
                most = (len(images) + 1) // 2
                if failure.kind == "out-of-memory":
                    with self.lock:
                        self.batches.limit(batch.shape, most)
            parts += [images[most:], images[:most]]

    def _try(self, images: list[_Image[Ready]]) -> Failed | None:
        """Predict images; else return what the first one's record would be, and keep nothing of what was tried."""
        try:
            outcomes = self.job.predict([image.ready for image in images])
        except (ImageError, MemoryError) as error:  # whose traceback keeps the batch's memory alive until we return
            return failed(images[0].slot.source, error)
        for image, outcome in zip(images, outcomes, strict=True):
            self.pool.submit(self._write, image, outcome)
        return None

    def _write(self, image: _Image[Ready], outcome: Outcome) -> None:
        with self._under_way(), settling(image.slot):
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
            self.budget.release(image.pixels)
            self.room.notify()
            self.news.notify()
