"""What a run decodes of its data set: large files in its folder, of use only while the run goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

DECODED = re.compile(r"(pixels|photos|masked)(-\d+)*-[0-9a-f]{16}\.(npy|bin|json|partial)")


def place_decoded(folder: Path, kind: str, files: Iterable[str], ending: str) -> Path:
    """Return where the pixels of files lie, by the files' names, sizes and times, so that a resumed run finds them."""
    stats = [(file, (s := Path(file).stat()).st_size, s.st_mtime_ns) for file in files]
    return folder / f"{kind}-{hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:16]}{ending}"


@contextmanager
def appear_whole(path: Path) -> Iterator[Path]:
    """Yield the path to write to, which is moved to `path` at the end, and removed after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    try:
        yield partial
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_decoded(folder: Path) -> None:
    """Remove what runs have decoded into a folder; whoever wants it again decodes it again."""
    for path in folder.iterdir():
        if DECODED.fullmatch(path.name):
            path.unlink()
