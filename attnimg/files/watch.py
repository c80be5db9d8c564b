"""Follow folders: what is there at first, then each image that is added, as soon as it is whole.

The system's notices, by way of watchfiles, tell at once of most that is new. They do not tell of all: a busy system
drops some, network file systems hardly send any, and names that are not UTF-8 break them off. So the folders are
searched again from time to time as well, and `find`'s rules hold for both.
"""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from attnimg.errors import ImageError, Unavailable, UsageError
from attnimg.files.source import Source
from attnimg.files.walk import Entry, Walker

SETTLE = 2.0  # seconds after which a file that did not change is whole
TICK = 0.1  # seconds between two looks
AGAIN = 10.0  # seconds between two searches of the folders
SHARE = 20  # times what a search took that the next one waits, so that huge folders cost 5 % of a core

State = tuple[int, ...]


def watch(
    inputs: Iterable[str | bytes | os.PathLike[str]], walker: Walker | None = None, *, settle: float = SETTLE
) -> Iterator[Source]:
    """Yield what `find` yields of files and patterns, then of folders, and then follow these; arguments as there.

    A file counts when it is whole: renamed, linked or dated after it was last written to, or unchanged for `SETTLE`
    and not empty. A program that pauses for longer within a file had better write under a hidden name, and rename. Each
    path comes once, whatever becomes of it later, but a file that is gone before it was whole does not come. A folder
    that is removed is an error of its own; with the last one the watch ends.

    Raises at once UsageError: no input is a folder, or outputs would come to lie among the inputs and be taken for
    such; Unavailable: watchfiles is not installed.
    """
    require()
    walker = walker or Walker()
    paths = [os.fsdecode(given) for given in inputs]
    there = [path for path in paths if os.path.isdir(path)]  # noqa: PTH112 - to pathlib the empty path is one
    folders = [
        _Folder(path, os.path.realpath(path)) for path in there if not walker.excludes(PurePath(Path(path).name))
    ]
    if not folders:
        raise UsageError("Only folders can be watched, and no input is one. Name the folder that images are added to.")
    for folder, output in ((folder, output) for folder in folders for output in walker.outputs):
        place = output / walker.source(folder.path, PurePath()).relative
        if os.path.realpath(place) == folder.real:
            raise UsageError(f"What is written to {folder.path} would be taken for new images. Name another folder.")
    return _follow([path for path in paths if path not in there], folders, walker, settle)


def require() -> None:
    """Raise Unavailable where watchfiles is not installed."""
    try:
        import watchfiles  # noqa: F401
    except ImportError as error:
        raise Unavailable("--watch takes an extra: pip install 'attnimg[watch]'.") from error


class _Folder(NamedTuple):
    """A watched folder: as given, and without links."""

    path: str
    real: str

    def is_gone(self) -> bool:
        try:
            return not stat.S_ISDIR(Path(self.path).stat().st_mode)
        except OSError as error:  # a network that is down may come back
            return isinstance(error, FileNotFoundError | NotADirectoryError)

    def name(self, entry: Entry) -> str:
        """Return the real path of an entry: by that it is known, through whichever folder it is found."""
        return f"{self.real}{os.sep}{entry.path[len(self.path) :].lstrip(os.sep)}"


def _follow(named: list[str], folders: list[_Folder], walker: Walker, settle: float) -> Iterator[Source]:
    for path in named:
        yield from walker.expand(path)
    nowhere = PurePath()
    settling = _Settling(walker, settle)
    notices = _notice([folder.real for folder in folders], walker.recursive)
    next(notices)  # from here on nothing that is added goes unnoticed
    for folder in folders:
        for entry in walker.list_files(folder.path, nowhere):
            yield from settling.offer(folder.name(entry), entry, is_old_whole=True)
    rested = time.monotonic()
    due = rested + AGAIN
    for changed in notices:
        for folder in [folder for folder in folders if folder.is_gone()]:
            folders.remove(folder)
            reason = "The watched folder is gone, and nothing more comes from it. Watch it again when it is back."
            yield walker.source(folder.path, nowhere, ImageError("missing", reason))
        if not folders:
            return
        if changed is None:
            due = rested
        began = time.monotonic()
        if began >= due:
            found = [
                (folder.name(entry), entry) for folder in folders for entry in walker.list_files(folder.path, nowhere)
            ]
            ended = time.monotonic()
            rested = ended + SHARE * (ended - began)
            due = max(ended + AGAIN, rested)
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
    """Return the path below the folder; None for what lies elsewhere, or is the folder itself."""
    pure = PurePath(path)
    return pure.relative_to(folder) if PurePath(folder) in pure.parents else None


def _notice(folders: list[str], recursive: bool) -> Iterator[set[str] | None]:
    """Yield the paths that changed, every `TICK` or so; None first, and whenever some may have been missed."""
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
                ignore_permission_denied=True,  # and every other reason why a folder cannot be watched
            ):
                paths = {path for _, path in changes}
                yield None if is_fresh else paths
                is_fresh = False
                if not paths.isdisjoint(folders):
                    break  # it may be another folder by now, which has yet to be watched
        # A name that is not UTF-8, or no means of watching at all: then the folders are searched, and no more.
        except (RuntimeError, OSError, UnicodeError):
            if is_fresh:
                time.sleep(TICK)
                yield set()


@dataclass(slots=True)
class _Waiting:
    """A file that is not yet known to be whole: how it was last seen, and since when (`time.monotonic`)."""

    name: str
    entry: Entry
    state: State
    since: float


class _Settling:
    """Lets each file pass once, when it is whole."""

    def __init__(self, walker: Walker, seconds: float) -> None:
        self._walker, self._seconds = walker, seconds
        self._known: set[str] = set()  # those that passed and those that wait
        self._waiting: deque[_Waiting] = deque()  # longest first

    def offer(self, name: str, entry: Entry, *, is_old_whole: bool = False) -> Iterator[Source]:
        """Take a file unless it is known; yield it if it is whole already.

        is_old_whole: whether the clock is trusted to tell that nobody wrote to it for a moment. A server's may differ.
        """
        if name in self._known or (state := _look(entry.path)) is None:
            return
        self._known.add(name)
        if _is_closed(state) or (is_old_whole and state and time.time() - state[2] / 1e9 > self._seconds):
            yield from self._walker.accept(entry)
        else:
            self._waiting.append(_Waiting(name, entry, state, time.monotonic()))

    def settle(self) -> Iterator[Source]:
        """Yield those that have become whole."""
        while self._waiting and time.monotonic() - self._waiting[0].since >= self._seconds:
            waiting = self._waiting.popleft()
            state = _look(waiting.entry.path)
            if state is None:
                self._known.discard(waiting.name)  # it may come back
            elif _is_closed(state) or (state == waiting.state and not _is_empty(state)):
                yield from self._walker.accept(waiting.entry)
            else:
                self._waiting.append(_Waiting(waiting.name, waiting.entry, state, time.monotonic()))


def _look(path: str) -> State | None:
    """Return a file's size and when it was written to and changed, in ns; () for what is no file; None: it is gone."""
    try:
        found = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return () if Path(path).is_symlink() else None
    except OSError:
        return ()  # reading it will say what is wrong
    if not stat.S_ISREG(found.st_mode):
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _is_closed(state: State) -> bool:
    # Writing sets both times alike. Renaming, linking and dating a file, as is done to one that is finished, sets the
    # second alone; so does what some do to one that they have only made, which is empty then.
    return bool(state) and not _is_empty(state) and state[2] > state[1]


def _is_empty(state: State) -> bool:
    """Tell of a file that was made and not yet filled; browsers hold the place of a download so."""
    return bool(state) and state[0] == 0
