"""`--sort-into`: each image filed into a folder that is named after its best label.

Equal names never overwrite each other: within a run the later one is numbered, in input order, so that the next run
gives the same names; what an earlier run left is treated as any other output is.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Annotated, Literal

import typer

from attnimg.errors import ImageError, UsageError
from attnimg.images.place import Placer, Target
from attnimg.images.source import Source
from attnimg.pipeline.journal import Journal
from attnimg.results import Classified, Failed, Record, Skipped

How = Literal["copy", "symlink", "hardlink"]

UNLABELLED = "unlabelled"
LONGEST = 120  # bytes of a folder's name; file systems allow 255


@dataclass(frozen=True)
class Sorting:
    """The options: whether and how images are filed."""

    sort_into: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="File each image into a folder per best label.", rich_help_panel="Output"),
    ] = None
    copy: Annotated[bool, typer.Option("--copy", help="Sort copies (default).", rich_help_panel="Output")] = False
    symlink: Annotated[bool, typer.Option("--symlink", help="Sort symbolic links.", rich_help_panel="Output")] = False
    hardlink: Annotated[bool, typer.Option("--hardlink", help="Sort hard links.", rich_help_panel="Output")] = False

    def __post_init__(self) -> None:
        if self.copy + self.symlink + self.hardlink > 1:
            raise UsageError("--copy, --symlink and --hardlink contradict each other; give one of them.")
        if self.copy + self.symlink + self.hardlink > 0 and self.sort_into is None:
            raise UsageError(
                "--copy, --symlink and --hardlink say how --sort-into files; say into which folder with it."
            )

    @property
    def how(self) -> How:
        """What is put into a label's folder."""
        return "symlink" if self.symlink else "hardlink" if self.hardlink else "copy"


@dataclass
class Sorter:
    """Files images one by one, in order. how: what is put into the label's folder."""

    placer: Placer
    how: How
    overwrite: bool
    journal: Journal
    _numbers: Counter[PurePath] = field(default_factory=Counter)

    def file(self, record: Record) -> Record:
        """File a classified image and return its record, or the record of what prevented that.

        A record from before the run was interrupted may say that it is filed: then that name is claimed again, no more.
        """
        if not isinstance(record, Classified):
            return record
        label = record.predictions[0].label if record.predictions else UNLABELLED
        try:
            if record.filed is not None:
                filed = PurePath(*PurePath(record.filed).parts[-2:])
                self.placer.claim(Source(record.path, filed), filed.suffix)
                return record
            path = self._claim(record.path, PurePath(name_folder(label), PurePath(record.path).name))
            if not self._is_filed(record.path, path):
                target = self.placer.check(path)
                if target.skip:
                    return _skip(record.path, path)
                self.journal.announce(record.path, path)
                self._put(Path(record.path), target)
        except ImageError as error:
            return Failed.of(record.path, error)
        return replace(record, filed=os.fspath(path))

    def _claim(self, path: str, relative: PurePath) -> Path:
        while True:
            self._numbers[relative] += 1
            number = self._numbers[relative]
            ending = f" ({number}){relative.suffix}" if number > 1 else relative.suffix
            try:
                return self.placer.claim(Source(path, relative), ending)
            except ImageError as error:
                if error.kind != "collision":
                    raise

    def _is_filed(self, source: str, path: Path) -> bool:
        """Tell an earlier run's hard link: it is the input itself, which is never replaced, and need not be."""
        if not (self.overwrite and self.how == "hardlink"):
            return False
        try:
            return os.path.samestat(path.lstat(), Path(source).stat())
        except OSError:
            return False

    def _put(self, source: Path, target: Target) -> None:
        from attnimg.images.write import put

        put(target, partial(_copy if self.how == "copy" else self._link, source))

    def _link(self, source: Path, path: Path) -> None:
        try:
            if self.how == "symlink":
                path.symlink_to(source.absolute())
            else:
                path.hardlink_to(source.resolve())  # of the image, where the source is a link
        except OSError as error:
            reason = f"No {self.how} to it can be made: {error.strerror}. Check the rights, make room, or use --copy."
            raise ImageError("write-failed", reason) from error


def refuse_pipe(source: Source) -> None:
    """Raise ImageError, unsupported, for a pipe: when it has been looked at, nothing is left to file."""
    if Path(source.path).is_fifo():
        raise ImageError("unsupported", "A pipe is read once, and nothing is left to file. Save it as a file first.")


def _skip(source: str, path: Path) -> Skipped:
    """Return the record of an image that is filed already. ImageError: what has its name there is another one."""
    try:
        if filecmp.cmp(source, path, shallow=False):
            return Skipped(source, os.fspath(path))
    except OSError:  # it cannot be read, and so not told from another
        pass
    raise ImageError("exists", f"{path} is there already, and another image. Use --overwrite or another folder.")


def _copy(source: Path, path: Path) -> None:
    shutil.copyfile(source, path)
    # Some file systems keep no times or rights. Not `copystat`: a file that macOS has locked could not be moved.
    with suppress(OSError):
        status = source.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        path.chmod(stat.S_IMODE(status.st_mode))


def name_folder(label: str) -> str:
    """Return the label as a name that every file system takes."""
    name = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in label)
    return name.encode()[:LONGEST].decode(errors="ignore").strip(" .") or "_"
