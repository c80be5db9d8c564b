"""Watch folders: yield the images in them, then each new one as soon as it is completely written.

The operating system's events (by watchfiles) report most new files at once, but not all: a busy system drops some,
network file systems hardly send any, and a name that is not UTF-8 ends them. So the folders are also searched again
from time to time, by the rules of `find`.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from attnimg.errors import ImageError, Unavailable, UsageError
from attnimg.files.source import Source
from attnimg.files.walk import Entry, Walker

SETTLE = 2.0  # seconds without a change after which a file counts as complete
TICK = 0.1  # seconds between two checks
SEARCH_EVERY = 10.0  # seconds between two searches of the folders
REST = 20  # pause after a search, in durations of that search: huge folders take at most 5 % of a core

State = tuple[int, ...]


def watch(
    inputs: Iterable[str | bytes | os.PathLike[str]],
    walker: Walker | None = None,
    *,
    settle: float = SETTLE,
    search_every: float = SEARCH_EVERY,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Source]:
    """Yield the sources of files, patterns and folders as `find` does, then those of new files in the folders.

    A new file is complete if it was renamed, linked or dated after the last write, or if it is not empty and has not
    changed for `settle` seconds. A program that pauses for longer should write under a hidden name, and rename. Each
    path comes once, even if the file changes later. A file that is removed before it is complete does not come. A
    removed folder is an error of its own; the watch ends with the last one.

    search_every: seconds between two searches. clock: returns seconds, like `time.monotonic`.

    Raises at once UsageError: no input is a folder, or outputs would be found as new inputs; Unavailable: watchfiles is
    not installed.
    """
    require()
    walker = walker or Walker()
    paths = [os.fsdecode(given) for given in inputs]
    there = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112 - pathlib takes "" for a folder
    folders = [
        _Folder(path, os.path.realpath(path)) for path in there if not walker.excludes(PurePath(Path(path).name))
    ]
    if not folders:
        raise UsageError("Only folders can be watched, and no input is a folder. Give the folder that gets new images.")
    for folder, output in ((folder, output) for folder in folders for output in walker.outputs):
        place = output / walker.source(folder.path, PurePath()).relative
        if os.path.realpath(place) == folder.real:
            raise UsageError(f"Outputs in {folder.path} would be taken for new images. Give another output folder.")
    settling = _Settling(walker, settle, clock)
    return _follow([path for path in paths if path not in there], folders, settling, search_every, clock)


def require() -> None:
    """Raise Unavailable if watchfiles is not installed."""
    try:
        import watchfiles  # noqa: F401
    except ImportError as error:
        raise Unavailable("--watch needs an extra: pip install 'attnimg[watch]'.") from error


class _Folder(NamedTuple):
    """A watched folder. path: as given. real: without links."""

    path: str
    real: str

    def is_gone(self) -> bool:
        try:
            return not stat.S_ISDIR(Path(self.path).stat().st_mode)
        except OSError as error:  # any other error may be a network that comes back
            return isinstance(error, FileNotFoundError | NotADirectoryError)

    def name(self, entry: Entry) -> str:
        """Return the real path of an entry: the same, even if it is found through several folders."""
        return f"{self.real}{os.sep}{entry.path[len(self.path) :].lstrip(os.sep)}"


def _follow(
    named: list[str], folders: list[_Folder], settling: _Settling, search_every: float, clock: Callable[[], float]
) -> Iterator[Source]:
    walker = settling.walker
    for path in named:
        yield from walker.expand(path)
    nowhere = PurePath()
    notices = _notice([folder.real for folder in folders], walker.recursive)
    next(notices)  # from here on the system reports new files
    for folder in folders:
        for entry in walker.list_files(folder.path, nowhere):
            yield from settling.offer(folder.name(entry), entry, trusts_dates=True)
    rested = clock()
    due = rested + search_every
    for changed in notices:
        for folder in [folder for folder in folders if folder.is_gone()]:
            folders.remove(folder)
            reason = "The watched folder was removed. Start the command again when it exists."
            yield walker.source(folder.path, nowhere, ImageError("missing", reason))
        if not folders:
            return
        if changed is None:
            due = rested
        began = clock()
        if began >= due:
            found = [
                (folder.name(entry), entry) for folder in folders for entry in walker.list_files(folder.path, nowhere)
            ]
            ended = clock()
            rested = ended + REST * (ended - began)
            due = max(ended + search_every, rested)
        else:
            found = [
                (folder.name(entry), entry)
                for path in sorted(changed or ())
                for folder in folders
                if (below := _below(path, folder.real))
                for entry in walker.list_below(folder.path, nowhere, below)
            ]
        for name, entry in found:
            yield from settling.offer(name, entry)
        yield from settling.settle()


def _below(path: str, folder: str) -> PurePath | None:
    """Return the path below the folder; None for a path elsewhere, or the folder itself."""
    pure = PurePath(path)
    return pure.relative_to(folder) if PurePath(folder) in pure.parents else None


def _notice(folders: list[str], recursive: bool) -> Iterator[set[str] | None]:
    """Yield the changed paths about every `TICK`; None at first, and when events may have been lost."""
    import watchfiles

    while True:
        is_fresh = True
        try:
            for changes in watchfiles.watch(
                *folders,
                watch_filter=None,
                debounce=round(2000 * TICK),
                rust_timeout=round(1000 * TICK),
                yield_on_timeout=True,
                recursive=recursive,
                ignore_permission_denied=True,  # which covers other reasons, too
            ):
                paths = {path for _, path in changes}
                yield None if is_fresh else paths
                is_fresh = False
                if not paths.isdisjoint(folders):
                    break  # a new folder may have taken its place, and is not watched yet
        # A name that is not UTF-8, or a system without events: only the searches remain.
        except (RuntimeError, OSError, UnicodeError):
            if is_fresh:
                time.sleep(TICK)
                yield set()


@dataclass(slots=True)
class _Waiting:
    """A file that may not be complete. since: time at which its state was last seen to change."""

    name: str
    entry: Entry
    state: State
    since: float


class _Settling:
    """Passes each file on once, when it is complete."""

    def __init__(self, walker: Walker, seconds: float, clock: Callable[[], float]) -> None:
        self.walker, self._seconds, self._clock = walker, seconds, clock
        self._known: set[str] = set()  # passed or waiting
        self._waiting: deque[_Waiting] = deque()  # in the order of `since`

    def offer(self, name: str, entry: Entry, *, trusts_dates: bool = False) -> Iterator[Source]:
        """Take a new file, and yield its source if it is complete already.

        trusts_dates: whether a file with an old date is complete. The clock of a file server may differ from ours.
        """
        if name in self._known or (state := _state_of(entry.path)) is None:
            return
        self._known.add(name)
        if _is_closed(state) or (trusts_dates and state and time.time() - state[2] / 1e9 > self._seconds):
            yield from self.walker.accept(entry)
        else:
            self._waiting.append(_Waiting(name, entry, state, self._clock()))

    def settle(self) -> Iterator[Source]:
        """Yield the sources of the files that have become complete."""
        while self._waiting and self._clock() - self._waiting[0].since >= self._seconds:
            waiting = self._waiting.popleft()
            state = _state_of(waiting.entry.path)
            if state is None:
                self._known.discard(waiting.name)  # it may come back
            elif _is_closed(state) or (state == waiting.state and not _is_empty(state)):
                yield from self.walker.accept(waiting.entry)
            else:
                self._waiting.append(_Waiting(waiting.name, waiting.entry, state, self._clock()))


def _state_of(path: str) -> State | None:
    """Return size, time of the last write and time of the last change of a file, in ns; () if it is not a regular file;
    None if it does not exist.
    """
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return () if Path(path).is_symlink() else None
    except OSError:
        return ()  # reading it will report the error
    if not stat.S_ISREG(found.st_mode):
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_closed(state: State) -> bool:
    # A write sets both times. Renaming, linking or dating a file sets only the second one. Programs do so to finished
    # files, but some also to new ones, which are still empty.
    return bool(state) and not _is_empty(state) and state[2] > state[1]


def _is_empty(state: State) -> bool:
    """Whether a file has no content yet; browsers create such files for downloads."""
    return bool(state) and state[0] == 0
