"""What every command on a batch of images does: find, stream, print the records, count, and say how it went."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from io import FileIO
from itertools import chain
from pathlib import Path
from queue import Queue

from attnimg.cli.console import Console
from attnimg.cli.options import Compute, Inputs, Outputs, Report
from attnimg.cli.printing import FORMATS
from attnimg.cli.progress import Progress
from attnimg.cli.reading import open_reader
from attnimg.cli.status import ExitStatus, OutputFailed, Terminated
from attnimg.errors import ImageError, NoImages, UsageError
from attnimg.images.find import find
from attnimg.images.place import Placer, Targets
from attnimg.images.rules import Rules
from attnimg.images.shard import in_shard, parse_shard
from attnimg.images.source import Source
from attnimg.images.watch import watch
from attnimg.pipeline.job import Job, Outcome, Ready
from attnimg.pipeline.journal import Journal, JournalFailed
from attnimg.pipeline.journal_lines import write_whole
from attnimg.pipeline.stream import stream
from attnimg.results import Done, Failed, Record, Tally, to_json

MOST_AHEAD = 100_000  # images found and not read yet; 40 MB


class Search:
    """The sources that the options name, looked for on a thread of its own.

    It runs ahead of the images that are being worked on, so that the total, and with it the time left, is soon known.
    """

    def __init__(self, inputs: Inputs, *outputs: Path | None, videos: bool = False) -> None:
        exclude, into = inputs.exclude or (), [output for output in outputs if output]
        rules = Rules(inputs.recursive, videos, exclude, into, inputs.root)
        named, self.left_out = rules.part(inputs.inputs or ())
        self.counts = rules.counts
        self.counts.passed_over = len(self.left_out)
        self.found = 0
        self.total: int | None = None
        self._endless = inputs.watch
        self._all: list[Source] | None = None
        self._queue: Queue[Source | BaseException | None] = Queue(MOST_AHEAD)
        # Without a buffer: Python aborts if it ends while a thread holds the lock of one, waiting for stdin.
        stdin = FileIO(0, closefd=False) if inputs.reads_stdin else None
        if inputs.watch:
            sources = watch(named, rules)
        else:
            sources = find(named, rules, from_file=inputs.from_file, nul=inputs.nul, stdin=stdin)
        self.shard = inputs.shard
        self._part = parse_shard(self.shard) if self.shard is not None else (1, 1)
        # A read from stdin may never return, and must not hold up the end.
        threading.Thread(target=self._look, args=(sources,), name="attnimg-find", daemon=True).start()

    def _look(self, sources: Iterable[Source]) -> None:
        end = None
        try:
            for source in sources:
                self.found += self._is_ours(source)
                self._queue.put(source)
            self.total = self.found
        except BaseException as error:  # noqa: BLE001 - raised again where the sources are used
            end = error
        self._queue.put(end)

    def all(self) -> list[Source]:
        """Wait until the search has ended and return what it found; iterating yields it still. UsageError: no end."""
        self.check_ends()
        self._all = list(self._receive())
        return list(self)

    @property
    def inputs(self) -> list[Source] | None:
        """All that `all` found, other shards' too, as none is to be replaced; None where it was not called."""
        return self._all or None

    def say_left_out(self, console: Console) -> None:
        """Say which inputs were passed over because outputs go there."""
        if self.left_out:
            others = f" and {len(self.left_out) - 1} more" if len(self.left_out) > 1 else ""
            console.say(f"Passed over, as outputs go there: {self.left_out[0]}{others}. Named alone, it is read.")

    def check_ends(self) -> None:
        """Raise UsageError where the search never ends."""
        if self._endless:
            raise UsageError(
                "--watch never knows all images, as --overwrite, --sort-into, --dry-run and -o FILE must. Leave it out."
            )

    def __iter__(self) -> Iterator[Source]:
        yield from filter(self._is_ours, self._receive() if self._all is None else self._all)

    def _is_ours(self, source: Source) -> bool:
        return in_shard(source, *self._part)

    def _receive(self) -> Iterator[Source]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item


def build_placer(folder: Path, outputs: Outputs, search: Search, journal: Journal) -> Placer:
    """Return what hands out names below a folder, as the options ask."""
    overwrite, skip = outputs.overwrite, outputs.skip_existing
    return Placer(folder, overwrite=overwrite, skip_existing=skip, inputs=search.inputs, begun=journal.begun)


def run_batch(
    search: Search,
    job: Job[Ready, Outcome],
    kind: type[Done],
    *,
    compute: Compute,
    report: Report,
    console: Console,
    journal: Journal,
    finish: Callable[[Record], Record] | None = None,
    start: Callable[[Progress], None] | None = None,
    end: Callable[[], Iterable[str]] = tuple,
) -> ExitStatus:
    """Take every image through `job` and print its record, one by one, in order.

    kind: the records' type when all went well. finish: is given each record in order, before it is printed. start: is
    given what tells of progress, before the first image is read. end: writes what is made of all images together, and
    yields what went wrong.
    NoImages: nothing was found. KeyboardInterrupt, Terminated: after it was said how far the command came.
    OutputFailed: results, or what notes them, cannot be written.
    """
    tally = Tally()
    style = FORMATS[report.format or ("table" if console.out.isatty() else "jsonl")]
    search.say_left_out(console)
    try:
        admit = journal.admitting(job.admit)
        sources = (source for source in search if not journal.wrote(source))
        records = stream(sources, job, batch_size=compute.batch_size, workers=compute.threads, admit=admit)
        with console.progress("images") as progress, closing(records), ExitStack() as stack:
            if start:
                start(progress)
            complain = stack.enter_context(_open_errors(report.errors))
            journal.start()
            first = next(records, None)
            if first is None:
                raise NoImages(_say_nothing_found(search))
            with progress.aside():
                write = stack.enter_context(style(console, kind, console.width))
            for record in chain([first], records):
                finished = finish(record) if finish else record
                tally.add(finished)
                journal.settle(finished)
                with progress.aside():
                    write(finished)
                complain(finished)
                progress.update(tally.done + tally.skipped + tally.failed, search.total, f"{tally.failed} failed")
                if tally.failed >= report.most_failures:
                    console.complain(f"Stopped at the {'first failure' if tally.failed == 1 else 'failures allowed'}.")
                    break
            else:
                journal.end(tally)
        complaints = list(end())
    except JournalFailed as error:
        console.say(f"Interrupted: {tally.line(search.counts.passed_over)}")
        raise OutputFailed(f"{error} Make room, and go on by `attnimg resume`.") from error
    except (KeyboardInterrupt, Terminated):
        console.say(f"Interrupted: {tally.line(search.counts.passed_over)}")
        raise
    for complaint in complaints:
        console.complain(complaint)
    console.say(tally.line(search.counts.passed_over))
    return ExitStatus.SOME_FAILED if tally.failed or complaints else ExitStatus.OK


@contextmanager
def _open_errors(path: Path | None) -> Iterator[Callable[[Record], object]]:
    """Open the file of --errors, and yield what takes each record. UsageError: it cannot be opened."""
    if path is None:
        yield lambda record: None
        return
    is_new = not os.path.lexists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "w")  # without a buffer, which would be written once more after a failure
    except OSError as error:
        raise UsageError(f"--errors: {path} cannot be written: {error.strerror}. Name another file.") from error

    def write(record: Record) -> None:
        if isinstance(record, Failed):
            try:
                write_whole(file, to_json(record).encode("ascii") + b"\n")
            except OSError as error:
                reason = f"{path} cannot be written: {error.strerror}. Make room, or name another file."
                raise OutputFailed(reason) from error

    try:
        with file:
            yield write
    except BaseException:
        with suppress(OSError):
            if is_new and not path.stat().st_size:  # it would only be in the way of the same command
                path.unlink()
        raise


def print_plan(search: Search, plan: Callable[[Source], Targets], console: Console, inputs: Inputs) -> ExitStatus:
    """Print what would be read and written: a line per file written, or per image when none is. NoImages.

    plan: as `admit` of a job, which skips an image when the first of its files is there, and only then. inputs:
    say whether files that are there are looked into in another process.
    """
    search.check_ends()
    search.say_left_out(console)
    tally = Tally()
    with open_reader(inputs, Compute(workers=1)) if inputs.isolate else nullcontext():
        for source in search:
            try:
                if source.error:
                    raise source.error
                targets = list(plan(source).values())
            except ImageError as error:
                tally.failed += 1
                console.print(f"{source.path}: {error}")
                continue
            skipped = bool(targets) and targets[0].skip
            tally.skipped, tally.done = tally.skipped + skipped, tally.done + (not skipped)
            shown = targets[:1] if skipped else targets
            lines = [f" -> {target.path}{' (is there, skipped)' if target.skip else ''}" for target in shown]
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
    if search.shard is not None:
        return f"No image was found in shard {search.shard}{others}."
    return f"No image was found{others}. Name image files, or folders that hold some."
