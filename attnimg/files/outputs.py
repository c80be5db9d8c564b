"""Name the output files below `-o DIR`: all differ, none leaves DIR, none overwrites an input (docs/contract.md, C3).

Names are claimed in input order and before any pixel is read. So collisions are the same in every run, and are reported
at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from attnimg.errors import ImageError, UsageError
from attnimg.files.source import Source

STDOUT = Path("-")

_IGNORES_CASE = sys.platform in ("darwin", "win32")
"""Whether A.png and a.png usually name the same file on this system."""


@dataclass(frozen=True, slots=True)
class Output:
    """A file to write.

    skip: whether the file exists and is kept. replace: whether an existing file may be replaced. stream: receives the
    bytes in place of a file.
    """

    path: Path
    skip: bool = False
    replace: bool = False
    stream: BinaryIO | None = None


Outputs = dict[str, Output]
"""The output files of one image, by their keys in its record."""


class OutputNames:
    """Claims names below one folder, each once. For one thread: the first call gets a name.

    folder: the output folder, which need not exist. overwrite, skip_existing: treatment of existing outputs; without
    either they are errors. inputs: all sources of the run, which are never replaced; needed with these options only.
    None if they are not known in advance: then any file in the folder of an image may be an input.
    begun: outputs that an interrupted run had announced, with the paths of their images. Only the same image may claim
    and replace them. is_complete: test of an existing file, for skip_existing. ignores_case: whether names that differ
    only in case collide.

    Raises UsageError if the folder is a file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        overwrite: bool = False,
        skip_existing: bool = False,
        inputs: Iterable[Source] | None = (),
        begun: Mapping[str, str] | None = None,
        is_complete: Callable[[Path], bool] = Path.exists,
        ignores_case: bool = _IGNORES_CASE,
    ) -> None:
        if os.path.lexists(folder) and not folder.is_dir():
            raise UsageError(f"{folder} is not a folder. Give a folder; it need not exist yet.")
        self._folder = folder
        self._real_folder = Path(os.path.realpath(folder))  # `resolve` of Python 3.11 raises where links form a loop
        self._overwrite, self._skip_existing = overwrite, skip_existing
        self._is_complete, self._ignores_case = is_complete, ignores_case
        self._begun = {self._key(output): path for output, path in (begun or {}).items()}
        self._claims: dict[str, str] = {}
        self._inside: set[Path] = set()
        # Both the file and a link that names it: replacing the link would not change the file.
        found = (_identify(source.path, follow) for source in inputs or () for follow in (True, False))
        self._inputs = set(filter(None, found)) if overwrite or skip_existing else set()
        self._knows_inputs = inputs is not None

    def place(self, source: Source, ending: str) -> Output:
        """Claim the name of an output and check the existing file: `claim`, then `check`."""
        return self.check(self.claim(source, ending))

    def claim(self, source: Source, ending: str) -> Path:
        """Claim `<folder>/<the source's relative path, its extension replaced by ending>`, such as `.overlay.png`.

        Raises ImageError: collision, or write-failed for a path that leaves the folder.
        """
        relative = source.relative
        if not relative.name or relative.is_absolute() or ".." in relative.parts:
            raise _outside_error(self._folder)
        path = self._folder / relative.with_name(relative.stem + ending)
        self._check_inside(path.parent)
        key = self._key(path)
        owner = self._claims.get(key) or self._begun.get(key, source.path)
        if key in self._claims or owner != source.path:
            reason = f"Its output {path} is already that of {owner}. Use --root, or another output folder."
            raise ImageError("collision", reason)
        self._claims[key] = source.path
        return path

    def check(self, path: Path) -> Output:
        """Decide whether the file of a claimed name is written, replaced or skipped. Raises ImageError: exists."""
        if not os.path.lexists(path):
            return Output(path, replace=self._overwrite)
        if self._key(path) in self._begun:  # by the same image, or it could not be claimed
            return Output(path, replace=True)
        if self._skip_existing and path.is_dir():
            raise ImageError("exists", f"{path} is a folder. Move it away, or use another folder.")
        if self._skip_existing and self._should_stay(path):
            return Output(path, skip=True)
        if _identify(path, follow=False) in self._inputs:
            raise ImageError("exists", f"{path} is an input, and inputs are never overwritten. Use another folder.")
        if not (self._overwrite or self._skip_existing):
            raise ImageError("exists", f"{path} exists. Use --overwrite, --skip-existing or another folder.")
        if not self._knows_inputs and self._is_in_folder_of_image(path):
            reason = f"{path} is damaged, but may be an input, and inputs are never overwritten. Use another folder."
            raise ImageError("exists", reason)
        return Output(path, replace=True)

    def _should_stay(self, path: Path) -> bool:
        try:
            return self._is_complete(path)
        except OSError:  # it cannot be examined
            return True

    def _is_in_folder_of_image(self, path: Path) -> bool:
        """Whether an output is in the same folder as its image."""
        return os.path.realpath(Path(self._claims[self._key(path)]).parent) == os.path.realpath(path.parent)

    def _check_inside(self, folder: Path) -> None:
        # Links are resolved, because one in the output folder may lead out of it.
        if folder not in self._inside:
            if not Path(os.path.realpath(folder)).is_relative_to(self._real_folder):
                raise _outside_error(self._folder)
            self._inside.add(folder)

    def _key(self, path: str | Path) -> str:
        """Return a string that is the same for all spellings of a path."""
        return os.fspath(path).casefold() if self._ignores_case else os.fspath(path)


def _outside_error(folder: Path) -> ImageError:
    reason = f"Its output would be outside {folder}. Use --root with a folder that contains all inputs."
    return ImageError("write-failed", reason)


def _identify(path: str | Path, follow: bool) -> tuple[int, int] | None:
    """Return device and inode, the same for all names of a file, or of a link itself; None if there is no such file."""
    try:
        status = Path(path).stat(follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
