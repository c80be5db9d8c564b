"""Walk folders, patterns and lists, and accept the files that are inputs (docs/contract.md, C1).

As in ripgrep, hidden files are skipped. Links to files are followed. Links to folders are followed only if the command
names them, so that loops end and no image comes twice.
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
from attnimg.files.formats import has_image_extension, has_raw_extension, has_video_extension, sniff_file
from attnimg.files.source import Counts, Source


class Entry(NamedTuple):
    """A file below a folder, before it is examined; with an error, a folder that cannot be listed."""

    path: str
    relative: PurePath
    error: ImageError | None = None


@dataclass(slots=True)
class Walker:
    """Rules of one search, and the search itself.

    recursive: whether to descend into subfolders. videos: whether to accept videos in folders; named ones always are.
    exclude: shell patterns of files and folders to skip, matched against the name and the path below the input.
    outputs: output folders, which are not searched. root: folder below which `Source.relative` starts. Without it,
    `relative` is the path below the folder for images in a folder; the name for a named file; the path below the fixed
    part for matches of a pattern; the path itself, without the leading slash, for a listed file. counts: updated during
    the search.
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

    def split_inputs(self, named: Sequence[str]) -> tuple[list[str], list[str]]:
        """Split named paths into inputs and output folders: a shell's `*` names the latter, too.

        If all are output folders, all are inputs.
        """
        inside = [path for path in named if Path(path).is_dir() and Path(os.path.realpath(path)) in self.outputs]
        if len(inside) == len(named):
            return list(named), []
        return [path for path in named if path not in inside], inside

    def expand(self, path: str) -> Iterator[Source]:
        """Yield the sources of a path from the command line. It is a pattern only if no file has that name."""
        if glob.has_magic(path) and not os.path.lexists(path):
            return self._match(path)
        return self._look(path, file=PurePath(PurePath(path).name), folder=PurePath())

    def expand_listed(self, path: str) -> Iterator[Source]:
        """Yield the sources of a path from a list. Dots are resolved in the text: `a/../b.jpg` becomes `b.jpg`."""
        relative = PurePath(os.path.normpath(path))
        relative = relative.relative_to(relative.anchor)
        return self._look(path, file=relative, folder=relative)

    def _look(self, path: str, *, file: PurePath, folder: PurePath) -> Iterator[Source]:
        if self.excludes(file):
            return
        error = None
        try:
            if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - pathlib takes "" for the current folder
                yield from self._walk(path, folder)
                return
        except (FileNotFoundError, NotADirectoryError):
            error = ImageError("missing", "There is no such file or folder. Check the path.")
        except ValueError:
            error = ImageError("missing", "The path contains a NUL. Use -0 for a list that is separated by NULs.")
        except OSError as reason:
            error = ImageError("unreadable", f"It cannot be reached: {reason.strerror}. Check path and permissions.")
        yield self.source(path, file, error)

    def _match(self, pattern: str) -> Iterator[Source]:
        fixed = next(folder for folder in Path(pattern).parents if not glob.has_magic(os.fspath(folder)))
        try:
            # Unlike that of the glob module, pathlib's `**` does not follow links to folders, so that loops end.
            matches = sorted(fixed.glob(os.fspath(Path(pattern).relative_to(fixed))), key=os.fspath)
        except ValueError as reason:
            error = ImageError("missing", f"There is no such file, nor is it a pattern: {reason}. Check the path.")
            yield self.source(pattern, PurePath(pattern), error)
            return
        if not matches:
            error = ImageError("missing", "There is no such file, and nothing matches the pattern. Check the path.")
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
                # A pattern such as *.mp4 asks for videos.
                yield from self._member(path, relative, videos=self.videos or has_video_extension(pattern))

    def _walk(self, folder: str, relative: PurePath) -> Iterator[Source]:
        for entry in self.list_files(folder, relative):
            yield from self.accept(entry)

    def list_files(self, folder: str, relative: PurePath) -> Iterator[Entry]:
        """Yield the files below a folder, sorted by path, except hidden and excluded ones."""
        # A stack, because folders may be nested deeper than Python's calls; of names, to save memory in huge folders.
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
                reason = f"The folder cannot be listed: {error.strerror}. Check its permissions."
                yield Entry(path, relative, ImageError("unreadable", reason))
                continue
            pending += [(path, relative, name) for name in names]

    def list_below(self, folder: str, relative: PurePath, below: PurePath) -> Iterator[Entry]:
        """Yield those entries of `list_files` at or below the path `below`, without listing the rest of the folder."""
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
        yield from self.list_files(path, relative) if is_folder else (Entry(path, relative),)

    def accept(self, entry: Entry) -> Iterator[Source]:
        """Yield the source of an entry if it is an image or an accepted video."""
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
        """Yield the source of a file if it is an image or, with `videos`, a video; else count it as skipped."""
        if _is_image(path) or (videos and has_video_extension(path) and Path(path).is_file()):
            yield self.source(path, relative)
        else:
            self.counts.passed_over += 1

    def excludes(self, relative: PurePath) -> bool:
        """Whether an exclude pattern matches a path below an input, or one of the path's folders."""
        return any(
            fnmatchcase(text, pattern)
            for pattern in self.exclude
            for part in (relative, *relative.parents)
            if part.name not in ("", "..")  # these are no names, but `.*` would match them
            for text in (part.name, part.as_posix())
        )

    def source(self, path: str, relative: PurePath, error: ImageError | None = None) -> Source:
        """Return the source of a path. relative: its relative path, unless `root` is set."""
        if self.root is not None:
            relative = PurePath(os.path.relpath(path, self.root))
        is_video = error is None and has_video_extension(path) and not (Path(path).is_file() and sniff_file(path))
        return Source(path, relative, error=error, kind="video" if is_video else "image")


def _is_hidden(name: str) -> bool:
    return name.startswith(".")


def _in_path_order(entry: os.DirEntry[str]) -> str:
    """Return the name of an entry, with a slash for a folder, so that entries sort like the paths of their files."""
    return entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name


def _is_image(path: str) -> bool:
    """Whether a file is an image by extension or content. A dead link x.jpg is one, so that reading reports it."""
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
    return sniff_file(path) is not None
