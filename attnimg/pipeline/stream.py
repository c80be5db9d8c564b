"""Run a job over sources: records in input order, in bounded memory, and one failure costs one image.

    sources ──> admit ──> read ──> batch ──> predict ──> write ──> records
    (feeder's thread)   (pool)     (calling thread)     (pool)     (calling thread)
                  └─────────────────> process ───────────────────────┘  inputs that cannot be batched

The calling thread drives the device and yields records, so that Ctrl-C and a closed pipe arrive where everything can
be stopped. Threads do the rest: decoding releases Python's lock, and a source may block (a list on stdin). All threads
share one small state behind one lock. Only the feeder waits for room: admitted images can always finish.
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
from attnimg.runtime import POOL

PIXELS_PER_WORKER = 1 << 25  # a photo of 12 megapixels and its result; larger ones are read one by one


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
    grace: float = 0.5,
) -> Generator[Record, None, None]:
    """Yield exactly one record per source, in order, each as soon as it and all before it are known.

    batch_size: most images in one call of `job.predict`. workers: threads that read and write.
    admit: replaces `job.admit` and calls it; it also sees sources with an error, and raises it (`Journal.wrap_admit`).
    probe: returns an image's format and pixel count by its header; called once for each image, before `admit`.
    tell: takes the progress of inputs in `job.process`.
    window: most images between source and record, so that images do not pile up behind a slow one.
    pixels: most pixels in memory between reading and writing, as far as headers tell (see `Budget`); a larger image
    goes alone. None: `PIXELS_PER_WORKER` for each worker, and for at least two.
    patience: seconds that an image waits for others of its shape before its batch goes incomplete.
    grace: seconds that steps under way get when the stream is closed; the write of one image takes less.

    An exception that is neither `ImageError` nor `MemoryError` is a bug, or the sources' own, and is raised here: in
    its image's turn, but from `job.predict` and `job.process` at once. Close the generator to stop early
    (`contextlib.closing`): queued images are dropped, steps under way get `grace` to finish, threads end. A source that
    blocks, or a read that takes longer, is left behind.
    """
    budget = Budget(max(2, workers) * PIXELS_PER_WORKER if pixels is None else pixels)
    admit = admit or Journal().wrap_admit(job.admit)
    run = _Run(job, admit, probe, tell, Batches(batch_size, patience), budget, workers, window)
    # Not on the pool: the interpreter waits for a pool's threads at exit, and a read from stdin may never return.
    threading.Thread(target=run.feed, args=(sources,), name="attnimg-feed", daemon=True).start()
    try:
        yield from run.records()
    finally:
        run.stop(grace)


@dataclass(slots=True, eq=False)
class _Image(Generic[Ready]):
    """An image in memory. pixels: its share of the budget."""

    ticket: Ticket
    ready: Ready
    pixels: int


class _Run(Generic[Ready, Outcome]):
    """A stream: `feed` runs on the feeder's thread, `_read` and `_write` on the pool's, the rest on the caller's."""

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
        self.unbatched: dict[Ticket, Outputs] = {}  # inputs that wait for `job.process`
        self.batch_is_next = False  # after `job.process`, so that a run of its inputs does not keep batches waiting
        self.next: Estimate | None = None  # of the next image, if it is to be read
        self.reading = self.running = 0  # images given to readers, steps under way on the pool
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
                batch = None if ticket or self._unbatched_is_next() else self._take_batch()
                unbatched = None if ticket or batch else self._take_unbatched()
                if not ticket and not batch and not unbatched:
                    if self.ended and not self.tickets:
                        break
                    self.news.wait(self.batches.remaining_patience(complete=self._is_full()))
                    continue
            if batch:
                self._predict(batch)
            elif unbatched:
                self._process(*unbatched)
            elif ticket and ticket.record:
                yield ticket.record
            elif ticket and ticket.bug:
                raise ticket.bug
        if self.bug:
            raise self.bug

    def stop(self, grace: float) -> None:
        """Admit nothing more, drop queued images, and wait up to `grace` seconds for the steps under way."""
        with self.lock:
            self.stopped = True
            self.room.notify()
        self.pool.shutdown(wait=False, cancel_futures=True)
        with self.lock:
            all_done = self.news.wait_for(lambda: not self.running, grace)
        if all_done:
            self.pool.shutdown()

    def _has_room(self) -> bool:
        if len(self.tickets) >= self.window:
            return False
        return self.next is None or (self.reading < self.most_reading and self.budget.has_room(self.next))

    def _unbatched_is_next(self) -> bool:
        """Whether the first input waits for `job.process`, and no batch has precedence."""
        return not self.batch_is_next and bool(self.tickets) and self.tickets[0] in self.unbatched

    def _is_full(self) -> bool:
        """Whether no image can join the batches before one of them is predicted."""
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

    def _take_batch(self) -> Batch[_Image[Ready]] | None:
        self.batch_is_next = False
        return self.batches.take_due(complete=self._is_full())

    def _take_unbatched(self) -> tuple[Ticket, Outputs] | None:
        """Take the first input if it waits for `job.process`. A video takes minutes, so those before it go first."""
        if not self.tickets or self.tickets[0] not in self.unbatched:
            return None
        self.batch_is_next = True
        return self.tickets[0], self.unbatched.pop(self.tickets[0])

    def _process(self, ticket: Ticket, outputs: Outputs) -> None:
        try:
            ticket.record = self.job.process(ticket.source, outputs, self.tell)
        except (ImageError, MemoryError) as error:
            ticket.record = failed(ticket.source, error)

    def _predict(self, batch: Batch[_Image[Ready]]) -> None:
        """Predict a batch, and if it fails, its halves; if memory was short, later batches of the shape stay halved."""
        parts = [batch.images]  # the last one is next
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
        """Predict images. If that fails, return the failure of the first one, and keep none of the memory."""
        try:
            outcomes = self.job.predict([image.ready for image in images])
        except (ImageError, MemoryError) as error:  # its traceback keeps the batch in memory until this returns
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
