"""Whole photos of any size, decoded once into one file on disk that the operating system pages in and out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnimg.datasets.reading import read_all, read_photo

SAY_EVERY = 500  # photos; some seconds


class Photos:
    """A sequence of photos, H x W x 3 uint8 each, that lie behind one another in a memory-mapped file."""

    def __init__(self, path: Path, sizes: Sequence[Sequence[int]]) -> None:
        self._pixels = np.memmap(path, np.uint8, "r") if sizes else np.empty(0, np.uint8)
        self.sizes = [(height, width) for height, width in sizes]
        self._ends = np.cumsum([3 * height * width for height, width in self.sizes]).tolist()

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        height, width = self.sizes[i]
        return self._pixels[self._ends[i] - 3 * height * width : self._ends[i]].reshape(height, width, 3)


def keep_photos(
    files: Sequence[str], folder: Path, *, workers: int = 2, say: Callable[[str], None] = lambda line: None
) -> Photos:
    """Decode photos to 8 bits into `folder`, under a name made from their names, sizes and times.

    A later run finds the file and decodes nothing. UsageError: some cannot be read; it names them.
    """
    stats = [(f, (s := Path(f).stat()).st_size, s.st_mtime_ns) for f in files]
    path = folder / f"photos-{hashlib.sha256(json.dumps(stats).encode()).hexdigest()[:16]}.bin"
    index = path.with_suffix(".json")
    if not index.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        sizes: list[tuple[int, ...]] = []
        with path.open("wb") as file:
            for pixels in read_all(files, lambda name: read_photo(name).pixels, workers=workers):
                sizes.append(pixels.shape[:2])
                file.write((pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)).data)
                if len(sizes) % SAY_EVERY == 0:
                    say(f"read {len(sizes):,} of {len(files):,} photos")
        index.write_text(json.dumps(sizes))
    return Photos(path, json.loads(index.read_text()))
