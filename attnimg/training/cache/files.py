"""The files of decoded images in a run's folder, needed only until the run is done."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from attnimg.files.write import temporaries

CACHED = re.compile(r"(pixels|photos|masked)(-\d+)*-[0-9a-f]{16}\.(npy|bin|json)")


def cache_path(folder: Path, kind: str, files: Iterable[str], ending: str) -> Path:
    """Return the path of the cache of some files, a hash of their names, sizes and times: a resumed run finds it."""
    stats = [(file, (s := Path(file).stat()).st_size, s.st_mtime_ns) for file in files]
    return folder / f"{kind}-{hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:16]}{ending}"


def remove_cached(folder: Path) -> None:
    """Remove the decoded images from a run's folder, also the unfinished files of killed runs."""
    cached = [path for path in folder.iterdir() if CACHED.fullmatch(path.name)]
    for path in [*cached, *temporaries(folder, ["*"])]:
        path.unlink()
