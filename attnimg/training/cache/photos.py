"""Whole photos of any size, decoded once into one memory-mapped file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnimg.datasets.masks import ClassTable, read_masked
from attnimg.datasets.reading import read_all, read_photo
from attnimg.files.write import replacing
from attnimg.images.pixels import to_uint8
from attnimg.training.cache.files import cache_path

SAY_EVERY = 500  # photos; some seconds


class Photos:
    """A sequence of photos, H x W x channels uint8 each, stored one after another in a memory-mapped file."""

    def __init__(self, path: Path, sizes: Sequence[Sequence[int]], channels: int = 3) -> None:
        self._pixels = np.memmap(path, np.uint8, "r") if sizes else np.empty(0, np.uint8)
        self.channels = channels
        self.sizes = [(height, width) for height, width in sizes]
        self._ends = np.cumsum([channels * height * width for height, width in self.sizes]).tolist()

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        height, width = self.sizes[i]
        begin = self._ends[i] - self.channels * height * width
        return self._pixels[begin : self._ends[i]].reshape(height, width, self.channels)


def cache_photos(
    files: Sequence[str], folder: Path, *, workers: int = 2, say: Callable[[str], None] = lambda line: None
) -> Photos:
    """Decode photos to 8 bits into a file in `folder`, or return those that an earlier run decoded there.

    UsageError: some cannot be read; the message names them.
    """

    def read(example: tuple[str, ...]) -> NDArray[np.uint8]:
        return to_uint8(read_photo(example[0]).pixels)

    return _cache([(file,) for file in files], read, folder, "photos", 3, workers, say)


def cache_masked(
    files: Sequence[tuple[str, str]],
    table: ClassTable,
    folder: Path,
    *,
    workers: int = 2,
    say: Callable[[str], None] = lambda line: None,
) -> Photos:
    """Decode photos with their masks, as `cache_photos` does: red, green, blue, and class id or `VOID`.

    UsageError: as of `masks.read_masked`; the message names all files that cannot be used.
    """

    def read(example: tuple[str, ...]) -> NDArray[np.uint8]:
        photo, mask = read_masked((example[0], example[1]), table)
        return np.dstack([to_uint8(photo), mask])

    return _cache(files, read, folder, f"masked-{len(table.classes)}-{table.void}", 4, workers, say)


def _cache(
    examples: Sequence[tuple[str, ...]],
    read: Callable[[tuple[str, ...]], NDArray[np.uint8]],
    folder: Path,
    kind: str,
    channels: int,
    workers: int,
    say: Callable[[str], None],
) -> Photos:
    path = cache_path(folder, kind, chain.from_iterable(examples), ".bin")
    index = path.with_suffix(".json")
    if not index.is_file():
        sizes: list[tuple[int, ...]] = []
        with replacing(path) as temporary, temporary.open("wb") as file:
            for pixels in read_all(examples, read, workers=workers):
                sizes.append(pixels.shape[:2])
                file.write(pixels.data)
                if len(sizes) % SAY_EVERY == 0:
                    say(f"read {len(sizes):,} of {len(examples):,} photos")
        index.write_text(json.dumps(sizes))
    return Photos(path, json.loads(index.read_text()), channels)
