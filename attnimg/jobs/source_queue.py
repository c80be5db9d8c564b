"""The sources of a run, found on a thread of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from queue import Queue

from attnimg.errors import UsageError
from attnimg.files.find import find
from attnimg.files.shard import in_shard, parse_shard
from attnimg.files.source import Source
from attnimg.files.walk import Walker
from attnimg.files.watch import watch
from attnimg.options.common import InputOptions

MOST_AHEAD = 100_000  # sources found and not read yet; 40 MB


class SourceQueue:
    """The sources that the options name.

    The search runs ahead of the images in work, so that the total, and with it the remaining time, is soon known.
    outputs: folders that are not searched. found: sources so far, of this shard. total: the same when the search has
    ended, else None.
    """

    def __init__(self, inputs: InputOptions, *outputs: Path | None, videos: bool = False) -> None:
        exclude, into = inputs.exclude or (), [output for output in outputs if output]
        walker = Walker(inputs.recursive, videos, exclude, into, inputs.root)
        named, self.left_out = walker.split_inputs(inputs.inputs or ())
        self.counts = walker.counts
        self.counts.passed_over = len(self.left_out)
        self.found = 0
        self.total: int | None = None
        self._endless = inputs.watch
        self._all: list[Source] | None = None
        self._queue: Queue[Source | BaseException | None] = Queue(MOST_AHEAD)
        # Unbuffered: Python aborts if it ends while a thread holds the lock of a buffer, waiting for stdin.
        stdin = FileIO(0, closefd=False) if inputs.reads_stdin else None
        if inputs.watch:
            sources = watch(named, walker)
        else:
            sources = find(named, walker, from_file=inputs.from_file, nul=inputs.nul, stdin=stdin)
        self.shard = inputs.shard
        self._part = parse_shard(self.shard) if self.shard is not None else (1, 1)
        # A daemon, as a read from stdin may never return and must not delay the end.
        threading.Thread(target=self._search, args=(sources,), name="attnimg-find", daemon=True).start()

    def _search(self, sources: Iterable[Source]) -> None:
        end = None
        try:
            for source in sources:
                self.found += self._is_ours(source)
                self._queue.put(source)
            self.total = self.found
        except BaseException as error:  # noqa: BLE001 - raised again where the sources are used
            end = error
        self._queue.put(end)

    def wait(self) -> list[Source]:
        """Wait for the end of the search and return this shard's sources; iterating still yields them.

        UsageError: the search never ends.
        """
        self.check_ends()
        self._all = list(self._receive())
        return list(self)

    @property
    def known(self) -> list[Source] | None:
        """All sources, also other shards', after `wait`; None before, or if there are none."""
        return self._all or None

    def check_ends(self) -> None:
        """Raise UsageError if the search never ends."""
        if self._endless:
            raise UsageError(
                "--watch never ends, and --overwrite, --sort-into, --dry-run and -o FILE need all inputs in advance. "
                "Leave it out."
            )

    def describe_nothing(self) -> str:
        """Return the message for a search that found nothing."""
        passed_over = self.counts.passed_over
        were = "1 other file was" if passed_over == 1 else f"{passed_over} other files were"
        others = f"; {were} passed over" if passed_over else ""
        if self.shard is not None:
            return f"No image was found in shard {self.shard}{others}."
        return f"No image was found{others}. Name image files, or folders that hold some."

    def describe_left_out(self) -> str | None:
        """Return a sentence about inputs that were left out because outputs go there; None if there are none."""
        if not self.left_out:
            return None
        others = f" and {len(self.left_out) - 1} more" if len(self.left_out) > 1 else ""
        return f"Passed over, as outputs go there: {self.left_out[0]}{others}. Named alone, it is read."

    def __iter__(self) -> Iterator[Source]:
        yield from filter(self._is_ours, self._receive() if self._all is None else self._all)

    def _is_ours(self, source: Source) -> bool:
        return in_shard(source, *self._part)

    def _receive(self) -> Iterator[Source]:
        while (item := self._queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
