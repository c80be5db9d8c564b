"""What every command on a batch of images does: find, stream, print the records, count, and say how it went."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from io import FileIO
from itertools import chain
from pathlib import Path
from queue import Queue

from attnimg.cli.console import Console
from attnimg.cli.options import Compute, Inputs, Report
from attnimg.cli.progress import Progress
from attnimg.cli.status import ExitStatus, Terminated
from attnimg.errors import ImageError, NoImages
from attnimg.images.find import Counts, Source, find
from attnimg.images.place import Target
from attnimg.pipeline.job import Job, Outcome, Ready
from attnimg.pipeline.stream import stream
from attnimg.results import FORMATS, Done, Record, Tally

MOST_AHEAD = 100_000  # images found and not read yet; 40 MB


class Search:
    """The sources that the options name, looked for on a thread of its own.

    It runs ahead of the images that are being worked on, so that the total, and with it the time left, is soon known.
    """

    def __init__(self, inputs: Inputs, *outputs: Path | None, videos: bool = False) -> None:
        self.counts = Counts()
        self.found = 0
        self.total: int | None = None
        self._all: list[Source] | None = None
        self._queue: Queue[Source | BaseException | None] = Queue(MOST_AHEAD)
        sources = find(
            inputs.inputs or (),
            from_file=inputs.from_file,
            nul=inputs.nul,
            recursive=inputs.recursive,
            videos=videos,
            exclude=inputs.exclude or (),
            outputs=[output for output in outputs if output],
            root=inputs.root,
            counts=self.counts,
            # Without a buffer: Python aborts if it ends while a thread holds the lock of one, waiting for stdin.
            stdin=FileIO(0, closefd=False) if inputs.reads_stdin else None,
        )
        # A read from stdin may never return, and must not hold up the end.
        threading.Thread(target=self._look, args=(sources,), name="attnimg-find", daemon=True).start()

    def _look(self, sources: Iterable[Source]) -> None:
        end = None
        try:
            for source in sources:
                self.found += 1
                self._queue.put(source)
            self.total = self.found
        except BaseException as error:  # noqa: BLE001 - raised again where the sources are used
            end = error
        self._queue.put(end)

    def all(self) -> list[Source]:
        """Wait until the search has ended and return what it found; iterating yields it still."""
        self._all = list(self)
        return self._all

    def __iter__(self) -> Iterator[Source]:
        if self._all is not None:
            yield from self._all
            return
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item


def run_batch(
    search: Search,
    job: Job[Ready, Outcome],
    kind: type[Done],
    *,
    compute: Compute,
    report: Report,
    console: Console,
    finish: Callable[[Record], Record] | None = None,
    start: Callable[[Progress], None] | None = None,
) -> ExitStatus:
    """Take every image through `job` and print its record, one by one, in order.

    kind: the records' type when all went well. finish: is given each record in order, before it is printed. start: is
    given what tells of progress, before the first image is read.
    NoImages: nothing was found. KeyboardInterrupt, Terminated: after it was said how far the command came.
    """
    tally = Tally()
    style = FORMATS[report.format or ("table" if console.out.isatty() else "jsonl")]
    try:
        records = stream(search, job, batch_size=compute.batch_size, workers=compute.threads)
        with console.progress("images") as progress, closing(records), ExitStack() as stack:
            if start:
                start(progress)
            first = next(records, None)
            if first is None:
                raise NoImages(_say_nothing_found(search))
            with progress.aside():
                write = stack.enter_context(style(console, kind, console.width))
            for record in chain([first], records):
                finished = finish(record) if finish else record
                tally.add(finished)
                with progress.aside():
                    write(finished)
                progress.update(tally.done + tally.skipped + tally.failed, search.total, f"{tally.failed} failed")
    except (KeyboardInterrupt, Terminated):
        console.say(f"Interrupted: {tally.line(search.counts.passed_over)}")
        raise
    console.say(tally.line(search.counts.passed_over))
    return ExitStatus.SOME_FAILED if tally.failed else ExitStatus.OK


def print_plan(search: Search, plan: Callable[[Source], Iterable[Target]], console: Console) -> ExitStatus:
    """Print what would be read and written: a line per file written, or per image when none is. NoImages."""
    tally = Tally()
    for source in search:
        try:
            if source.error:
                raise source.error
            targets = list(plan(source))
        except ImageError as error:
            tally.failed += 1
            console.print(f"{source.path}: {error}")
            continue
        skipped = any(target.skip for target in targets)
        tally.skipped, tally.done = tally.skipped + skipped, tally.done + (not skipped)
        lines = [f" -> {target.path}{' (is there, skipped)' if target.skip else ''}" for target in targets]
        for line in lines or [""]:
            console.print(source.path + line)
    if not search.found:
        raise NoImages(_say_nothing_found(search))
    console.say(f"A dry run: {tally.line(search.counts.passed_over)}.")
    return ExitStatus.SOME_FAILED if tally.failed else ExitStatus.OK


def _say_nothing_found(search: Search) -> str:
    passed_over = search.counts.passed_over
    were = "1 other file was" if passed_over == 1 else f"{passed_over} other files were"
    others = f"; {were} passed over" if passed_over else ""
    return f"No image was found{others}. Name image files, or folders that hold some."
