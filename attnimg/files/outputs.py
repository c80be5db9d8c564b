"""Name the files below `-o DIR`: none is lost, none leaves DIR, no input is overwritten (docs/contract.md, C3).

Names are claimed in input order and before any pixel is read, so that collisions are the same in every run and are
reported at once.
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
"""Whether A.png and a.png are one file by default."""


@dataclass(frozen=True, slots=True)
class Output:
    """A file to be written.

    skip: it exists and is to stay. replace: an existing file may be replaced. stream: where the bytes go instead of to
    a file.
    """

    path: Path
    skip: bool = False
    replace: bool = False
    stream: BinaryIO | None = None


Outputs = dict[str, Output]
"""The files of one image, by the keys that name them in its record."""


class OutputNames:
    """Gives out names below one folder, each once. For one thread: the order of the calls decides.

    folder: need not exist. overwrite, skip_existing: how existing outputs are treated; neither: error records.
    inputs: all sources of the run, none of which is replaced; needed with these options only. None: they are not known
    in advance; then a file beside an image is taken for an input.
    begun: outputs that the run announced before it was interrupted, and the paths of their images. No other image gets
    these names, and its own may replace them. is_complete: whether an existing file is whole; for skip_existing.

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
            raise UsageError(f"{folder} is not a folder. Name a folder, or one that does not exist yet.")
        self._folder = folder
        self._real_folder = Path(os.path.realpath(folder))  # `resolve` of Python 3.11 raises where links form a loop
        self._overwrite, self._skip_existing = overwrite, skip_existing
        self._is_complete, self._ignores_case = is_complete, ignores_case
        self._begun = {self._key(output): path for output, path in (begun or {}).items()}
        self._claims: dict[str, str] = {}
        self._inside: set[Path] = set()
        # The file, and the link that names it: replacing a link leaves the file as it is.
        found = (_identify(source.path, follow) for source in inputs or () for follow in (True, False))
        self._inputs = set(filter(None, found)) if overwrite or skip_existing else set()
        self._knows_inputs = inputs is not None

    def place(self, source: Source, ending: str) -> Output:
        """Claim an output's name and check what exists there: `claim` and `check` in one."""
        return self.check(self.claim(source, ending))

    def claim(self, source: Source, ending: str) -> Path:
        """Claim `<folder>/<the source's relative path, its extension replaced by ending>`, such as `.overlay.png`.

        Raises ImageError: collision, or write-failed for a path that leaves the folder.
        """
        relative = source.relative
        if not relative.name or relative.is_absolute() or ".." in relative.parts:
            raise _leaves(self._folder)
        path = self._folder / relative.with_name(relative.stem + ending)
        self._check_inside(path.parent)
        key = self._key(path)
        owner = self._claims.get(key) or self._begun.get(key, source.path)
        if key in self._claims or owner != source.path:
            reason = f"Its output {path} is already that of {owner}. Use --root, or another folder for it."
            raise ImageError("collision", reason)
        self._claims[key] = source.path
        return path

    def check(self, path: Path) -> Output:
        """Decide whether a claimed name is written, replaced or skipped. Raises ImageError: exists."""
        if not os.path.lexists(path):
            return Output(path, replace=self._overwrite)
        if self._key(path) in self._begun:  # by this very image, else it could not be claimed
            return Output(path, replace=True)
        if self._skip_existing and path.is_dir():
            raise ImageError("exists", f"{path} is a folder. Move it away, or use another folder.")
        if self._skip_existing and self._is_whole(path):
            return Output(path, skip=True)
        if _identify(path, follow=False) in self._inputs:
            raise ImageError("exists", f"{path} is an input, and inputs are never overwritten. Use another folder.")
        if not (self._overwrite or self._skip_existing):
            raise ImageError("exists", f"{path} exists. Use --overwrite, --skip-existing or another folder.")
        if not self._knows_inputs and self._is_beside(path):
            reason = f"{path} is damaged, but may be an input, and inputs are never overwritten. Use another folder."
            raise ImageError("exists", reason)
        return Output(path, replace=True)

    def _is_whole(self, path: Path) -> bool:
        try:
            return self._is_complete(path)
        except OSError:  # a file that cannot be examined is not replaced
            return True

    def _is_beside(self, path: Path) -> bool:
        """Whether an output lies in the folder of its image."""
        return os.path.realpath(Path(self._claims[self._key(path)]).parent) == os.path.realpath(path.parent)

    def _check_inside(self, folder: Path) -> None:
        # Resolved, because a link in the output folder may lead elsewhere.
        if folder not in self._inside:
            if not Path(os.path.realpath(folder)).is_relative_to(self._real_folder):
                raise _leaves(self._folder)
            self._inside.add(folder)

    def _key(self, path: str | Path) -> str:
        """Return a string that all names of one file share."""
        return os.fspath(path).casefold() if self._ignores_case else os.fspath(path)


def _leaves(folder: Path) -> ImageError:
    return ImageError(
        "write-failed", f"Its output would leave {folder}. Use --root with a folder that holds all the inputs."
    )


def _identify(path: str | Path, follow: bool) -> tuple[int, int] | None:
    """Return device and inode, which all names of a file, or of a link itself, share; None if there is none."""
    try:
        status = Path(path).stat(follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
