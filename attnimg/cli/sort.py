"""`--sort-into`: each image filed into a folder that is named after its best label.

Equal names never overwrite each other: within a run the later one is numbered, in input order, so that the next run
gives the same names; what an earlier run left is treated as any other output is.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePath
from typing import Annotated, Literal

import typer

from attnimg.errors import ImageError, UsageError
from attnimg.images.find import Source
from attnimg.images.place import Placer, Target
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
    _numbers: Counter[PurePath] = field(default_factory=Counter)

    def file(self, record: Record) -> Record:
        """File a classified image and return its record, or the record of what prevented that."""
        if not isinstance(record, Classified):
            return record
        label = record.predictions[0].label if record.predictions else UNLABELLED
        try:
            target = self._place(record.path, PurePath(name_folder(label), PurePath(record.path).name))
            if target.skip:
                return Skipped(record.path, os.fspath(target.path))
            self._put(Path(record.path), target.path)
        except ImageError as error:
            return Failed(record.path, error.kind, error.message)
        return replace(record, filed=os.fspath(target.path))

    def _place(self, path: str, relative: PurePath) -> Target:
        for number in count(self._numbers[relative] + 1):
            self._numbers[relative] = number
            ending = f" ({number}){relative.suffix}" if number > 1 else relative.suffix
            try:
                return self.placer.place(Source(path, relative), ending)
            except ImageError as error:
                if error.kind != "collision":
                    raise
        raise AssertionError("count never ends")

    def _put(self, source: Path, target: Path) -> None:
        from attnimg.images.write import write_bytes

        try:
            if self.how == "copy":
                write_bytes(target, source.read_bytes(), overwrite=self.overwrite)
                shutil.copystat(source, target)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.overwrite:
                target.unlink(missing_ok=True)
            if self.how == "symlink":
                target.symlink_to(source.absolute())
            else:
                target.hardlink_to(source)
        except OSError as error:
            reason = f"It cannot be filed as {target}: {error.strerror}. Check the rights, make room, or use --copy."
            raise ImageError("write-failed", reason) from error


def name_folder(label: str) -> str:
    """Return the label as a name that every file system takes."""
    name = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in label)
    return name.encode()[:LONGEST].decode(errors="ignore").strip(" .") or "_"
