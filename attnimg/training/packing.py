"""The pixels of a data set, decoded once into one array on disk that the operating system pages in and out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from attnimg.datasets import Examples
from attnimg.errors import ImageError, UsageError
from attnimg.images.find import Source
from attnimg.images.read import read
from attnimg.images.square import fit_square

Pixels = NDArray[np.uint8]

SAY_EVERY = 10_000  # images; some seconds


def pack(
    examples: Examples, size: int, folder: Path, *, workers: int = 2, say: Callable[[str], None] = lambda line: None
) -> Pixels:
    """Decode the examples once, centre square scaled to size x size, into a memory-mapped array N x size x size x 3.

    The array lies in `folder` under a name made from the files' names, sizes and times, so that a later run finds it.
    An unreadable image is a `UsageError` that names it: training must not guess.
    """
    stats = [(f, (s := Path(f).stat()).st_size, s.st_mtime_ns) for f in examples.files]
    digest = hashlib.sha256(json.dumps([size, stats]).encode()).hexdigest()[:16]
    path = folder / f"pixels-{size}-{digest}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(examples), size, size, 3))

        def store(i: int) -> None:
            array[i] = read_square(examples.files[i], size)

        try:
            with ThreadPoolExecutor(workers) as pool:
                for done, _ in enumerate(pool.map(store, range(len(examples))), 1):
                    if done % SAY_EVERY == 0:
                        say(f"read {done:,} of {len(examples):,} images")
            array.flush()
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)
    packed: Pixels = np.load(path, mmap_mode="r")
    return packed


def read_square(file: str, size: int) -> Pixels:
    """Read one image's centre square, size x size x 3, RGB."""
    try:
        picture = read(Source(file, PurePath(Path(file).name)), shortest=size)
    except ImageError as error:
        raise UsageError(f"{file} cannot be used for training: {error.message} Remove or mend it.") from error
    return fit_square(picture.on_white(), size)
