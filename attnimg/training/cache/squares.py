"""The center squares of a data set, decoded once into one memory-mapped array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attnimg.datasets.classes import Examples
from attnimg.datasets.reading import read_all, read_photo
from attnimg.files.write import replacing
from attnimg.images.square import crop_square
from attnimg.training.cache.files import cache_path

Pixels = NDArray[np.uint8]

SAY_EVERY = 10_000  # images; some seconds


def cache_squares(
    examples: Examples, size: int, folder: Path, *, workers: int = 2, say: Callable[[str], None] = lambda line: None
) -> Pixels:
    """Decode center squares, scaled to size x size, into a file in `folder`; return them, N x size x size x 3 uint8.

    A resumed run finds the file there. UsageError: some images cannot be read; the message names them.
    """
    path = cache_path(folder, f"pixels-{size}", examples.files, ".npy")
    if not path.is_file():
        squares = read_all(examples.files, lambda file: read_square(file, size), workers=workers)
        with replacing(path) as temporary:
            array = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(examples), size, size, 3))
            for done, square in enumerate(squares, 1):
                array[done - 1] = square
                if done % SAY_EVERY == 0:
                    say(f"read {done:,} of {len(examples):,} images")
            array.flush()
    cached: Pixels = np.load(path, mmap_mode="r")
    return cached


def read_square(file: str, size: int) -> Pixels:
    """Read the center square of an image, size x size x 3, RGB."""
    return crop_square(read_photo(file, shortest=size).on_white(), size)
