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
from dataclasses import dataclass, replace
from typing import Generic

from attnimg.errors import ImageError
from attnimg.files.outputs import Outputs
from attnimg.files.source import Probe, Source
from attnimg.pipeline.batches import Batch, Batches
from attnimg.pipeline.budget import Budget, Estimate, estimate
from attnimg.pipeline.job import Job, Outcome, Ready, Tell
from attnimg.pipeline.journal.journal import Journal
from attnimg.pipeline.ticket import Ticket, failed, recording_failures
from attnimg.records import Failed, Record

POOL = "attnimg"  # what its threads' names begin with; those that are there after a stream's end hang
GRACE = 0.5  # seconds; a write of one image is over by then
PIXELS_PER_WORKER = 1 << 25  # a photo of 12 megapixels and its result; larger ones go one by one


def stream(
    sources: Iterable[Source],
    job: Job[Ready, Outcome],
    *,
    batch_size: int,
    workers: int,
    admit: Callable[[Source], Record | Outputs] | None = None,
    probe: Callable[[Source], Probe] = lambda source: source.probe,
    tell: Tell = lambda words: None,
    window: int = 512,
    pixels: int | None = None,
    patience: float = 0.2,
) -> Generator[Record, None, None]:
    """Yield exactly one record per source, in order, each as soon as it and all before it are known.

    batch_size: most images in one call of `job.predict`. workers: threads that read and write. admit: instead of
    `job.admit`, which it calls; it also sees sources with an error, and raises it (`Journal.wrap_admit`).
    probe: returns an image's format and pixel count by its header; called once for each image, before `admit`.
    tell: takes the progress of inputs that `job.process` does.
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
    admit = admit or Journal().wrap_admit(job.admit)
    run = _Run(job, admit, probe, tell, Batches(batch_size, patience), budget, workers, window)
    # Not on the pool: the interpreter waits for a pool's threads at exit, and a read from stdin may never return.
    threading.Thread(target=run.feed, args=(sources,), name="attnimg-feed", daemon=True).start()
    try:
        yield from run.records()
    finally:
        run.stop()


@dataclass(slots=True, eq=False)
class _Image(Generic[Ready]):
    """One image that is in memory; `pixels` of the budget belong to it."""

    ticket: Ticket
    ready: Ready
    pixels: int


class _Run(Generic[Ready, Outcome]):
    """One run's state. `feed` runs on the feeder's thread, `_read` and `_write` on the pool's, the rest on ours."""

    def __init__(
        self,
        job: Job[Ready, Outcome],
        admit: Callable[[Source], Record | Outputs],
        probe: Callable[[Source], Probe],
        tell: Tell,
        batches: Batches[_Image[Ready]],
        budget: Budget,
        workers: int,
        window: int,
    ) -> None:
        self.job, self.admit, self.probe, self.tell = job, admit, probe, tell
        self.batches, self.budget = batches, budget
        self.most_reading, self.window = 2 * workers, window
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix=POOL)
        self.lock = threading.Lock()
        self.room = threading.Condition(self.lock)  # the feeder waits for it
        self.news = threading.Condition(self.lock)  # the calling thread waits for it
        self.tickets: deque[Ticket] = deque()  # admitted and not yet yielded, in order
        self.unbatched: dict[Ticket, Outputs] = {}  # inputs that wait for `job.process`, in order
        self.next: Estimate | None = None  # of the next image, if it is to be read
        self.reading = self.running = 0  # images that readers were given, steps under way on the pool
        self.ended = self.stopped = False
        self.bug: BaseException | None = None

    def feed(self, sources: Iterable[Source]) -> None:
        """Admit sources and hand them to the readers as room allows, until they end or the run is stopped."""
        try:
            for found in sources:
                is_batched = self.job.is_batched(found)
                source = replace(found, probe=self.probe(found)) if is_batched and not found.error else found
                ticket = Ticket(source)
                outputs: Outputs = {}
                with recording_failures(ticket):
                    admitted = self.admit(source)
                    if isinstance(admitted, dict):
                        outputs = admitted
                    else:
                        ticket.record = admitted
                size = estimate(source) if is_batched and not ticket.done else None
                with self.lock:
                    self.next = size
                    self.room.wait_for(lambda: self.stopped or self._has_room())
                    if self.stopped:
                        return
                    if size is not None:
                        self.pool.submit(self._read, ticket, outputs, size, self.budget.expect(size))
                        self.reading += 1
                    elif not ticket.done:
                        self.unbatched[ticket] = outputs
                    self.tickets.append(ticket)
                    self.news.notify()
        except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
            self.bug = error
        finally:
            with self.lock:
                self.ended = True
                self.news.notify()

    def records(self) -> Iterator[Record]:
        """Yield finished records, predict due batches, process what cannot be batched; else wait."""
        while True:
            with self.lock:
                ticket = self._take_done()
                batch = (
                    None if ticket or self._unbatched_is_first() else self.batches.take_due(complete=self._is_full())
                )
                unbatched = next(iter(self.unbatched), None) if not ticket and not batch else None
                outputs = self.unbatched.pop(unbatched) if unbatched else {}
                if not ticket and not batch and not unbatched:
                    if self.ended and not self.tickets:
                        break
                    self.news.wait(self.batches.remaining_patience(complete=self._is_full()))
                    continue
            if batch:
                self._predict(batch)
            elif unbatched:
                self._process(unbatched, outputs)
            elif ticket and ticket.record:
                yield ticket.record
            elif ticket and ticket.bug:
                raise ticket.bug
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
        if len(self.tickets) >= self.window:
            return False
        return self.next is None or (self.reading < self.most_reading and self.budget.has_room(self.next))

    def _unbatched_is_first(self) -> bool:
        """Whether the next record is that of an input that cannot be batched, and that is not done."""
        return bool(self.tickets) and self.tickets[0] in self.unbatched

    def _is_full(self) -> bool:
        """Whether no image can join the batches before some of them are predicted."""
        return not self.reading and (self.ended or not self._has_room())

    def _read(self, ticket: Ticket, outputs: Outputs, size: Estimate, expected: int) -> None:
        image, shape = None, None
        with self._under_way(), recording_failures(ticket):
            ready = self.job.read(ticket.source, outputs)
            shape = self.job.shape(ready)
            image = _Image(ticket, ready, self.job.pixels(ready))
        with self.lock:
            self.budget.settle(size, expected, image.pixels if image else None)
            if image:
                self.batches.add(image, shape)
            self.reading -= 1
            self.room.notify()
            self.news.notify()

    def _take_done(self) -> Ticket | None:
        if not self.tickets or not self.tickets[0].done:
            return None
        self.room.notify()
        return self.tickets.popleft()

    def _process(self, ticket: Ticket, outputs: Outputs) -> None:
        try:
            ticket.record = self.job.process(ticket.source, outputs, self.tell)
        except (ImageError, MemoryError) as error:
            ticket.record = failed(ticket.source, error)

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
                    images[0].ticket.record = failure
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
            return failed(images[0].ticket.source, error)
        for image, outcome in zip(images, outcomes, strict=True):
            self.pool.submit(self._write, image, outcome)
        return None

    def _write(self, image: _Image[Ready], outcome: Outcome) -> None:
        with self._under_way(), recording_failures(image.ticket):
            image.ticket.record = self.job.write(image.ticket.source, image.ready, outcome)
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
