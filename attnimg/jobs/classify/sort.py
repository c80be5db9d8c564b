"""`--sort-into`: put each image into a folder named after its best label.

Equal names never overwrite each other: within a run the later one is numbered, in input order, so that the next run
gives the same names. Files of an earlier run are treated like any other existing output.
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

from attnimg.errors import ImageError
from attnimg.files.outputs import Output, OutputNames
from attnimg.files.source import Source
from attnimg.files.write import put
from attnimg.jobs.batch import Collector
from attnimg.jobs.classify.options import How
from attnimg.pipeline.journal.journal import Journal
from attnimg.records import Classified, Failed, Record, Skipped

UNLABELLED = "unlabelled"
LONGEST = 120  # bytes of a folder's name; file systems allow 255


@dataclass
class Sorter(Collector):
    """Puts images into folders one by one, in order. how: the kind of file in a label's folder."""

    names: OutputNames
    how: How
    overwrite: bool
    journal: Journal
    _numbers: Counter[PurePath] = field(default_factory=Counter)

    def collect(self, record: Record) -> Record:
        """Sort a classified image and return its record, or the record of the error that prevented it.

        If a record from before an interruption says that the image is sorted, only its name is claimed again.
        """
        if not isinstance(record, Classified):
            return record
        label = record.predictions[0].label if record.predictions else UNLABELLED
        try:
            if record.filed is not None:
                filed = PurePath(*PurePath(record.filed).parts[-2:])
                self.names.claim(Source(record.path, filed), filed.suffix)
                return record
            path = self._claim(record.path, PurePath(name_folder(label), PurePath(record.path).name))
            if not self._is_filed(record.path, path):
                output = self.names.check(path)
                if output.skip:
                    return _skip(record.path, path)
                self.journal.announce(record.path, path)
                self._put(Path(record.path), output)
        except ImageError as error:
            return Failed.of(record.path, error)
        return replace(record, filed=os.fspath(path))

    def _claim(self, path: str, relative: PurePath) -> Path:
        while True:
            self._numbers[relative] += 1
            number = self._numbers[relative]
            ending = f" ({number}){relative.suffix}" if number > 1 else relative.suffix
            try:
                return self.names.claim(Source(path, relative), ending)
            except ImageError as error:
                if error.kind != "collision":
                    raise

    def _is_filed(self, source: str, path: Path) -> bool:
        """Whether the path is an earlier run's hard link: the input itself, which need not be replaced."""
        if not (self.overwrite and self.how == "hardlink"):
            return False
        try:
            return os.path.samestat(path.lstat(), Path(source).stat())
        except OSError:
            return False

    def _put(self, source: Path, output: Output) -> None:
        put(output, partial(_copy if self.how == "copy" else self._link, source))

    def _link(self, source: Path, path: Path) -> None:
        try:
            if self.how == "symlink":
                path.symlink_to(source.absolute())
            else:
                path.hardlink_to(source.resolve())  # to the image, if the source is a link
        except OSError as error:
            reason = f"A {self.how} to it cannot be made: {error.strerror}. Check the rights, make room, or use --copy."
            raise ImageError("write-failed", reason) from error


def refuse_pipe(source: Source) -> None:
    """Raise ImageError, unsupported, for a pipe: once it is read, nothing is left to sort."""
    if Path(source.path).is_fifo():
        raise ImageError(
            "unsupported", "A pipe can be read only once, so it cannot be sorted. Save it as a file first."
        )


def _skip(source: str, path: Path) -> Skipped:
    """Return the record of an image that is sorted already. ImageError: another file has its name there."""
    try:
        if filecmp.cmp(source, path, shallow=False):
            return Skipped(source, os.fspath(path))
    except OSError:  # it cannot be read and compared
        pass
    raise ImageError("exists", f"{path} exists, and is another image. Use --overwrite or another folder.")


def _copy(source: Path, path: Path) -> None:
    shutil.copyfile(source, path)
    # Some file systems keep no times or rights. Not `copystat`: a file that macOS has locked could not be moved.
    with suppress(OSError):
        status = source.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        path.chmod(stat.S_IMODE(status.st_mode))


def name_folder(label: str) -> str:
    """Return the label as a folder name that every file system accepts."""
    name = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in label)
    return name.encode()[:LONGEST].decode(errors="ignore").strip(" .") or "_"
