"""Name the files that go below `-o DIR`: none is lost, none leaves DIR, no input is overwritten (contract C3).

Names are claimed in input order and before any pixel is read, so that a run is told of its collisions in the same way
every time, and at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from attnimg.errors import ImageError, UsageError
from attnimg.images.source import Source
from attnimg.images.whole import is_whole

# By default their file systems take A.png and a.png for one file.
_IGNORES_CASE = sys.platform in ("darwin", "win32")


@dataclass(frozen=True, slots=True)
class Target:
    """Where an output goes. skip: it is there already and is to stay as it is. replace: what is there may go."""

    path: Path
    skip: bool = False
    replace: bool = False


Targets = dict[str, Target]
"""The files that one image becomes, by their keys in its record (`results`)."""


class Placer:
    """Hands out names below one folder, each once. Not for several threads: the order of the calls decides.

    folder: need not exist. overwrite, skip_existing: what becomes of outputs that are there; neither: error records.
    inputs: all the sources of the run; asked for with `overwrite` only, for without it no other's file is replaced.
    begun: outputs that are this run's own, from before it was interrupted.

    Raises UsageError when the folder is a file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        overwrite: bool = False,
        skip_existing: bool = False,
        inputs: Iterable[Source] = (),
        begun: Container[str] = (),
    ) -> None:
        if os.path.lexists(folder) and not folder.is_dir():
            raise UsageError(f"{folder} is no folder. Name one, or a new one.")
        self._folder = folder
        self._real_folder = Path(os.path.realpath(folder))  # `resolve` of Python 3.11 raises where links form a loop
        self._overwrite, self._skip_existing, self._begun = overwrite, skip_existing, begun
        self._claims: dict[str, str] = {}
        self._inside: set[Path] = set()
        # The file, and the link that names it: what is put in a link's place leaves the file as it is.
        found = (_identify(source.path, follow) for source in inputs for follow in (True, False))
        self._inputs = set(filter(None, found)) if overwrite else set()

    def place(self, source: Source, ending: str) -> Target:
        """Claim an output's name and check what is there: `claim` and `check` in one."""
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
        key = os.fspath(path).casefold() if _IGNORES_CASE else os.fspath(path)
        if key in self._claims:
            reason = f"Its output {path} is already that of {self._claims[key]}. Use --root, or another folder for it."
            raise ImageError("collision", reason)
        self._claims[key] = source.path
        return path

    def check(self, path: Path) -> Target:
        """Decide what becomes of a name that was claimed. Raises ImageError: exists."""
        if not os.path.lexists(path):
            return Target(path, replace=self._overwrite)
        if os.fspath(path) in self._begun:
            return Target(path, replace=True)
        if self._skip_existing:
            whole = _is_whole(path)
            return Target(path, skip=whole, replace=not whole)
        if not self._overwrite:
            raise ImageError("exists", f"{path} is there already. Use --overwrite, --skip-existing or another folder.")
        if _identify(path, follow=False) in self._inputs:
            raise ImageError("exists", f"{path} is an input, and inputs are never overwritten. Use another folder.")
        return Target(path, replace=True)

    def _check_inside(self, folder: Path) -> None:
        # Resolved, because a link in the output folder may lead elsewhere.
        if folder not in self._inside:
            if not Path(os.path.realpath(folder)).is_relative_to(self._real_folder):
                raise _leaves(self._folder)
            self._inside.add(folder)


def _is_whole(path: Path) -> bool:
    try:
        return is_whole(path)
    except OSError:  # what cannot be looked at is not ours to replace
        return True


def _leaves(folder: Path) -> ImageError:
    return ImageError(
        "write-failed", f"Its output would leave {folder}. Use --root with a folder that holds all the inputs."
    )


def _identify(path: str | Path, follow: bool) -> tuple[int, int] | None:
    """What stays the same under all the names of a file, or of a link itself; None when there is none."""
    try:
        status = Path(path).stat(follow_symlinks=follow)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
