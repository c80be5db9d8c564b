"""Data sets with one folder per class.

DATA holds `train/` and `val/`, each with one folder per class, read recursively. An optional `classes.json` gives ids
and labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from attnimg.datasets.reading import list_images
from attnimg.errors import UsageError
from attnimg.labels import ClassName


@dataclass(frozen=True)
class Examples:
    """Files and their class indices, in a fixed order."""

    files: tuple[str, ...]
    classes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.files)


def read_classes(data: Path) -> tuple[ClassName, ...]:
    """Return the classes of a data set: those of `classes.json`, else one per folder of `train/`, sorted by name."""
    listing = data / "classes.json"
    if listing.is_file():
        try:
            return tuple(ClassName(str(c["id"]), str(c["label"])) for c in json.loads(listing.read_text()))
        except (ValueError, TypeError, KeyError) as error:
            form = '[{"id": "daisy", "label": "Daisy"}, ...]'
            raise UsageError(f"{listing} is not a list of classes of the form {form}: {error!r}.") from error
    folders = sorted(p.name for p in class_root(data).iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise UsageError(f"{class_root(data)} needs one folder of images per class, at least two.")
    return tuple(ClassName(name, name.replace("_", " ")) for name in folders)


def class_root(data: Path) -> Path:
    """Return the folder of the training classes: DATA/train if it exists, else DATA."""
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder. Name one with a folder of images per class.")
    return data / "train" if (data / "train").is_dir() else data


def find_examples(root: Path, classes: Sequence[ClassName], *, all_classes: bool = True) -> Examples:
    """Return the images below root/<class id>, in sorted order.

    all_classes: whether every class must have images. UsageError: a folder of `root` is not a class, images are
    missing, or a file or folder cannot be read.
    """
    ids = [c.id for c in classes]
    unknown = sorted({p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")}.difference(ids))
    if unknown:
        known = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
        raise UsageError(f"{root / unknown[0]} is not a class. Name the folders by the ids of the classes: {known}.")
    files: list[str] = []
    indices: list[int] = []
    for index, id_ in enumerate(ids):
        found = list_images(root / id_) if (root / id_).is_dir() else ()
        if all_classes and not found:
            raise UsageError(f"{root / id_} holds no image. Every class needs some.")
        files += found
        indices += [index] * len(found)
    if not files:
        raise UsageError(f"{root} holds no images in folders named by class, such as {root / ids[0]}. Add some.")
    return Examples(tuple(files), tuple(indices))


def split(examples: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Split off a share of each class by a seeded choice; return (rest, share). UsageError: a class has one image."""
    by_class: dict[int, list[int]] = {}
    for i, c in enumerate(examples.classes):
        by_class.setdefault(c, []).append(i)
    if alone := [i for members in by_class.values() if len(members) < 2 for i in members]:
        raise UsageError(f"{examples.files[alone[0]]} is the only image of its class. Add some, or give --val.")
    random = Random(seed)  # noqa: S311
    chosen = {i for members in by_class.values() for i in random.sample(members, max(1, round(share * len(members))))}

    def take(wanted: bool) -> Examples:
        keep = [i for i in range(len(examples)) if (i in chosen) == wanted]
        return Examples(tuple(examples.files[i] for i in keep), tuple(examples.classes[i] for i in keep))

    return take(False), take(True)
