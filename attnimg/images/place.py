"""Name the files that go below `-o DIR`: none is lost, none leaves DIR, no input is overwritten (contract C3).

Names are claimed in input order and before any pixel is read, so that a run is told of its collisions in the same way
every time, and at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
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
"""The files that one image becomes, by what its task calls them: their keys in its record, or their names' endings."""


class Placer:
    """Hands out names below one folder, each once. Not for several threads: the order of the calls decides.

    folder: need not exist. overwrite, skip_existing: what becomes of outputs that are there; neither: error records.
    inputs: all the sources of the run, none of which is replaced; of no matter without these options. None: they are
    not known, as they still come; then what lies beside an image is taken for one.
    begun: outputs that the run announced before it was interrupted, and the paths of their images. No other image gets
    them, and its own may replace them.

    Raises UsageError when the folder is a file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        overwrite: bool = False,
        skip_existing: bool = False,
        inputs: Iterable[Source] | None = (),
        begun: Mapping[str, str] | None = None,
    ) -> None:
        if os.path.lexists(folder) and not folder.is_dir():
            raise UsageError(f"{folder} is no folder. Name one, or a new one.")
        self._folder = folder
        self._real_folder = Path(os.path.realpath(folder))  # `resolve` of Python 3.11 raises where links form a loop
        self._overwrite, self._skip_existing = overwrite, skip_existing
        self._begun = {_key(output): path for output, path in (begun or {}).items()}
        self._claims: dict[str, str] = {}
        self._inside: set[Path] = set()
        # The file, and the link that names it: what is put in a link's place leaves the file as it is.
        found = (_identify(source.path, follow) for source in inputs or () for follow in (True, False))
        self._inputs = set(filter(None, found)) if overwrite or skip_existing else set()
        self._knows_inputs = inputs is not None

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
        key = _key(path)
        owner = self._claims.get(key) or self._begun.get(key, source.path)
        if key in self._claims or owner != source.path:
            reason = f"Its output {path} is already that of {owner}. Use --root, or another folder for it."
            raise ImageError("collision", reason)
        self._claims[key] = source.path
        return path

    def check(self, path: Path) -> Target:
        """Decide what becomes of a name that was claimed. Raises ImageError: exists."""
        if not os.path.lexists(path):
            return Target(path, replace=self._overwrite)
        if _key(path) in self._begun:  # by this very image, else it could not be claimed
            return Target(path, replace=True)
        if self._skip_existing and path.is_dir():
            raise ImageError("exists", f"{path} is a folder. Move it away, or use another folder.")
        if self._skip_existing and _is_whole(path):
            return Target(path, skip=True)
        if _identify(path, follow=False) in self._inputs:
            raise ImageError("exists", f"{path} is an input, and inputs are never overwritten. Use another folder.")
        if not (self._overwrite or self._skip_existing):
            raise ImageError("exists", f"{path} is there already. Use --overwrite, --skip-existing or another folder.")
        if not self._knows_inputs and self._is_beside(path):
            reason = f"{path} does not open, but may be an input, and inputs are never overwritten. Use another folder."
            raise ImageError("exists", reason)
        return Target(path, replace=True)

    def _is_beside(self, path: Path) -> bool:
        """Tell whether an output lies in the folder of its image."""
        return os.path.realpath(Path(self._claims[_key(path)]).parent) == os.path.realpath(path.parent)

    def _check_inside(self, folder: Path) -> None:
        # Resolved, because a link in the output folder may lead elsewhere.
        if folder not in self._inside:
            if not Path(os.path.realpath(folder)).is_relative_to(self._real_folder):
                raise _leaves(self._folder)
            self._inside.add(folder)


def _key(path: str | Path) -> str:
    """Return what the names of one file have in common."""
    return os.fspath(path).casefold() if _IGNORES_CASE else os.fspath(path)


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
