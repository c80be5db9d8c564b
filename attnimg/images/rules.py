"""Which files a search takes (contract C1).

Manners are those of `find` and ripgrep: hidden files are passed over; links to files are followed; links to folders are
not, unless they are named, so that no loop and no image comes twice.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import NamedTuple

from attnimg.errors import ImageError
from attnimg.images.formats import HEAD, has_image_extension, has_raw_extension, has_video_extension, sniff
from attnimg.images.source import Counts, Source


class Entry(NamedTuple):
    """A file below a folder, not yet looked at; or, with its error, a folder that cannot be listed."""

    path: str
    relative: PurePath
    error: ImageError | None = None


@dataclass(slots=True)
class Rules:
    """The rules of one search, and how they are applied.

    recursive: whether to look into the folders of folders. videos: whether those in folders count, too; a file counts
    when it is named, whatever it is. exclude: shell patterns that leave out files and folders, matched with the name
    and with the path below the input. outputs: are not searched when they lie in a searched folder, for they fill up
    meanwhile. root: `relative` becomes the path below this folder. Without it a folder's images go by their path below
    that folder, a named file by its name, a pattern's matches by their path below its fixed part, and a listed path by
    itself (an absolute one without its leading slash, as in tar). counts: is updated on the way.
    """

    recursive: bool = True
    videos: bool = False
    exclude: Sequence[str] = ()
    outputs: Sequence[Path] = ()
    root: Path | None = None
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self.exclude = [pattern.rstrip("/") for pattern in self.exclude]
        self.outputs = [Path(os.path.realpath(output)) for output in self.outputs]

    def part(self, named: Sequence[str]) -> tuple[list[str], list[str]]:
        """Part paths from the command line into those to search and the folders of outputs, which `*` names as well.

        There are none of the latter where all would be, for then that is meant.
        """
        inside = [path for path in named if Path(path).is_dir() and Path(os.path.realpath(path)) in self.outputs]
        if len(inside) == len(named):
            return list(named), []
        return [path for path in named if path not in inside], inside

    def named(self, path: str) -> Iterator[Source]:
        """A path from the command line: a pattern only where nothing has that very name."""
        if glob.has_magic(path) and not os.path.lexists(path):
            return self._match(path)
        return self._look(path, file=PurePath(PurePath(path).name), folder=PurePath())

    def listed(self, path: str) -> Iterator[Source]:
        """A path from a list. Dots are resolved as text: `a/../b.jpg` goes by `b.jpg`, `../b.jpg` stays outside."""
        relative = PurePath(os.path.normpath(path))
        relative = relative.relative_to(relative.anchor)
        return self._look(path, file=relative, folder=relative)

    def _look(self, path: str, *, file: PurePath, folder: PurePath) -> Iterator[Source]:
        if self.excludes(file):
            return
        error = None
        try:
            if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - to pathlib the empty path is the current folder
                yield from self._walk(path, folder)
                return
        except (FileNotFoundError, NotADirectoryError):
            error = ImageError("missing", "There is no such file or folder. Check the path.")
        except ValueError:
            error = ImageError("missing", "No path holds a NUL character. A list separated by NULs is read with -0.")
        except OSError as reason:
            error = ImageError("unreadable", f"It cannot be reached: {reason.strerror}. Check the path and the rights.")
        yield self.source(path, file, error)

    def _match(self, pattern: str) -> Iterator[Source]:
        fixed = next(folder for folder in Path(pattern).parents if not glob.has_magic(os.fspath(folder)))
        try:
            # pathlib's `**`, unlike the glob module's, follows no links to folders: loops end.
            matches = sorted(fixed.glob(os.fspath(Path(pattern).relative_to(fixed))), key=os.fspath)
        except ValueError as reason:
            error = ImageError("missing", f"Nothing has this name, and it is no pattern: {reason}. Check the path.")
            yield self.source(pattern, PurePath(pattern), error)
            return
        if not matches:
            error = ImageError("missing", "Nothing has this name or matches it as a pattern. Check the path.")
            yield self.source(pattern, PurePath(pattern), error)
        real, done = Path(os.path.realpath(fixed)), set[Path]()
        done.update(fixed / output.relative_to(real) for output in self.outputs if real in output.parents)
        for match in matches:
            path, relative = os.fspath(match), match.relative_to(fixed)
            if not done.isdisjoint({match, *match.parents}) or any(map(_is_hidden, relative.parts)):
                continue
            if self.excludes(relative):
                continue
            if match.is_dir() and not match.is_symlink():
                done.add(match)
                yield from self._walk(path, relative)
            else:
                # Who asks for *.mp4 has named videos.
                yield from self._member(path, relative, videos=self.videos or has_video_extension(pattern))

    def _walk(self, folder: str, relative: PurePath) -> Iterator[Source]:
        for entry in self.files(folder, relative):
            yield from self.judge(entry)

    def files(self, folder: str, relative: PurePath) -> Iterator[Entry]:
        """Yield what a folder holds, sorted by path, but what the rules leave out by its name."""
        # A stack instead of recursion: folders may be nested deeper than Python's calls. Of names, which take least
        # memory: a folder may hold a hundred thousand.
        pending = [(folder, relative, "")]
        while pending:
            path, relative, name = pending.pop()
            if name:
                is_folder, name = name.endswith("/"), name.rstrip("/")
                path, relative = os.path.join(path, name), relative / name  # noqa: PTH118 - as scandir does
                if not self._admits(path, relative, is_folder):
                    continue
                if not is_folder:
                    yield Entry(path, relative)
                    continue
            try:
                with os.scandir(path) as listing:
                    names = sorted(map(_in_path_order, listing), reverse=True)
            except OSError as error:
                reason = f"The folder cannot be listed: {error.strerror}. Check its rights."
                yield Entry(path, relative, ImageError("unreadable", reason))
                continue
            pending += [(path, relative, name) for name in names]

    def reach(self, folder: str, relative: PurePath, below: PurePath) -> Iterator[Entry]:
        """Yield what `files` yields at or below one path, `below` that folder, and list nothing else for it."""
        path, is_folder = folder, True
        for part in below.parts:
            if not is_folder:
                return
            path, relative = os.path.join(path, part), relative / part  # noqa: PTH118 - as scandir does
            try:
                is_folder = stat.S_ISDIR(Path(path).lstat().st_mode)
            except OSError:
                return
            if not self._admits(path, relative, is_folder):
                return
        yield from self.files(path, relative) if is_folder else (Entry(path, relative),)

    def judge(self, entry: Entry) -> Iterator[Source]:
        """Yield the entry's source, unless it is no image."""
        if entry.error:
            yield self.source(*entry)
        else:
            yield from self._member(entry.path, entry.relative, videos=self.videos)

    def _admits(self, path: str, relative: PurePath, is_folder: bool) -> bool:
        if _is_hidden(relative.name) or self.excludes(relative):
            return False
        return not is_folder or self._enters(path)

    def _enters(self, folder: str) -> bool:
        return self.recursive and not (self.outputs and Path(os.path.realpath(folder)) in self.outputs)

    def _member(self, path: str, relative: PurePath, *, videos: bool) -> Iterator[Source]:
        """A file of a folder or a pattern, which nobody named: left alone unless it is an image, or a video."""
        if _is_image(path) or (videos and has_video_extension(path) and Path(path).is_file()):
            yield self.source(path, relative)
        else:
            self.counts.passed_over += 1

    def excludes(self, relative: PurePath) -> bool:
        """Tell whether a pattern leaves out this path below an input, or a folder that it lies in."""
        return any(
            fnmatchcase(text, pattern)
            for pattern in self.exclude
            for part in (relative, *relative.parents)
            if part.name not in ("", "..")  # an input's way, and no name: `.*` is for what is hidden
            for text in (part.name, part.as_posix())
        )

    def source(self, path: str, relative: PurePath, error: ImageError | None = None) -> Source:
        """Return the source of a path; `relative` stands unless all go by their path below `root`."""
        if self.root is not None:
            relative = PurePath(os.path.relpath(path, self.root))
        return Source(path, relative, error=error)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _in_path_order(entry: os.DirEntry[str]) -> str:
    """Return an entry's name, a folder's with a slash: so they sort as their members' whole paths do."""
    return entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name


def _is_image(path: str) -> bool:
    """Tell by extension, else by content. A dead link called x.jpg counts: reading it says what is wrong."""
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return has_image_extension(path)
    if not stat.S_ISREG(mode):
        return False
    if has_image_extension(path):
        return True
    if has_raw_extension(path):
        return False
    try:
        with Path(path).open("rb") as file:
            return sniff(file.read(HEAD)) is not None
    except OSError:
        return False
