"""Folder-per-class data sets, and their pixels packed once into one array on disk.

DATA holds `train/` and `val/`, each with one folder per class, read recursively; an optional `classes.json` gives ids
and labels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from random import Random

import numpy as np
from numpy.typing import NDArray

from attnimg.errors import ImageError, UsageError
from attnimg.images.find import Source, find
from attnimg.images.read import read
from attnimg.images.square import fit_square

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ClassName:
    """A class: its id in the data set and its readable label."""

    id: str
    label: str


@dataclass(frozen=True)
class Examples:
    """Files and their class indices, in a fixed order."""

    files: tuple[str, ...]
    classes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.files)


def read_classes(data: Path) -> tuple[ClassName, ...]:
    """Return the classes of a data set: from `classes.json`, else one per folder of `train/`, by name."""
    listing = data / "classes.json"
    if listing.is_file():
        return tuple(ClassName(c["id"], c["label"]) for c in json.loads(listing.read_text()))
    folders = sorted(p.name for p in class_root(data).iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise UsageError(f"{class_root(data)} needs one folder of images per class, at least two.")
    return tuple(ClassName(name, name.replace("_", " ")) for name in folders)


def class_root(data: Path) -> Path:
    """Return the folder that holds the training classes: DATA/train where it exists, else DATA."""
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder; give one with a folder of images per class.")
    return data / "train" if (data / "train").is_dir() else data


def find_examples(root: Path, classes: Sequence[ClassName]) -> Examples:
    """Return the images below root/<class id>, in sorted order; `UsageError` for a class that is missing or empty."""
    files: list[str] = []
    indices: list[int] = []
    for index, name in enumerate(classes):
        found = [s.path for s in find([str(root / name.id)]) if s.error is None] if (root / name.id).is_dir() else []
        if not found:
            raise UsageError(f"{root / name.id} holds no image; every class needs some.")
        files += found
        indices += [index] * len(found)
    return Examples(tuple(files), tuple(indices))


def split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Split off a share of each class by seeded choice; returns (rest, share)."""
    by_class: dict[int, list[int]] = {}
    for i, c in enumerate(examples.classes):
        by_class.setdefault(c, []).append(i)
    random = Random(seed)  # noqa: S311
    chosen = {i for members in by_class.values() for i in random.sample(members, max(1, round(share * len(members))))}

    def take(wanted: bool) -> Examples:
        keep = [i for i in range(len(examples)) if (i in chosen) == wanted]
        return Examples(tuple(examples.files[i] for i in keep), tuple(examples.classes[i] for i in keep))

    return take(False), take(True)


def pack(
    examples: Examples, size: int, folder: Path, *, workers: int = 2, progress: Callable[[int], None] = lambda _: None
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

        with ThreadPoolExecutor(workers) as pool:
            for done, _ in enumerate(pool.map(store, range(len(examples))), 1):
                progress(done)
        array.flush()
        partial.rename(path)
    packed: Pixels = np.load(path, mmap_mode="r")
    return packed


def read_square(file: str, size: int) -> Pixels:
    """Read one image's centre square, size x size x 3, RGB."""
    try:
        picture = read(Source(file, PurePath(Path(file).name)), shortest=size)
    except ImageError as error:
        raise UsageError(f"{file} cannot be used for training: {error.message} Remove or mend it.") from error
    return fit_square(picture.pixels, size)
