"""Data sets of photos with masks, the class of every pixel.

A part of DATA (`train/`, `val/`) holds `images/` and `masks/`, whose files pair by their path without its extension. A
mask is an image of one 8-bit channel, gray or with a palette, as large as its upright photo, whose values are class
indices; `classes.json` beside the parts names them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from attnimg.datasets.reading import list_partners, read_photo
from attnimg.errors import UsageError
from attnimg.images.pixels import Pixels
from attnimg.labels import VOID, SegmentClass
from attnimg.masks.mask import Mask

TABLE = "classes.json"
FORM = '{"classes": ["sky", "road"], "colors": [[128, 128, 128], [128, 64, 128]], "void": 255}'


@dataclass(frozen=True)
class ClassTable:
    """The classes, in the order of their ids from 0, and the value of pixels without a class."""

    classes: tuple[SegmentClass, ...]
    void: int


def read_class_table(data: Path) -> ClassTable:
    """Return the table in DATA/classes.json or, if DATA is a part of a data set, in the folder above.

    `void` is optional; its default is 255. UsageError: the file is missing, or does not have the form of `FORM`.
    """
    if not data.is_dir():
        raise UsageError(f"{data} is not a folder. Name the folder of the data set.")
    listing = next((f / TABLE for f in (data, data.resolve().parent) if (f / TABLE).is_file()), None)
    if listing is None:
        raise UsageError(f"{data / TABLE} is missing. It names the classes of the masks' values 0, 1, ...: {FORM}.")
    try:
        return _build_table(json.loads(listing.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{listing} is not a table of classes of the form {FORM}: {error!r}.") from error


def _build_table(values: dict[str, Any]) -> ClassTable:
    labels, colors, void = values["classes"], values["colors"], values.get("void", VOID)
    named = [isinstance(label, str) and label and label.isprintable() for label in labels]
    if type(labels) is not list or not all(named) or not 2 <= len(set(labels)) == len(labels) <= VOID:
        raise ValueError("classes must be 2 to 255 different names")
    if len(colors) != len(labels) or not all(map(_is_color, colors)):
        raise ValueError("colors must give red, green and blue, 0 to 255, for each class")
    if type(void) is not int or not len(labels) <= void <= VOID:
        raise ValueError("void must be a value up to 255 that is not a class")
    pairs = enumerate(zip(labels, colors, strict=True))
    return ClassTable(tuple(SegmentClass(i, label, tuple(color)) for i, (label, color) in pairs), void)


def _is_color(color: Any) -> bool:
    return isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v <= 255 for v in color)


def find_masked(root: Path) -> list[tuple[str, str]]:
    """Return the photos below root/images with their masks below root/masks, sorted by name.

    UsageError: a folder is missing or empty, a file has no partner, or a file or folder cannot be read.
    """
    images, masks = list_partners(root, "images", "masks")
    return list(zip(images.values(), masks.values(), strict=True))


def read_masked(files: tuple[str, str], table: ClassTable) -> tuple[Pixels, Mask]:
    """Read a photo, H x W x 3, and its mask, H x W uint8 of class ids and `VOID`.

    UsageError: a file cannot be read, or the mask is not a mask, differs in size, or holds a value that is not a class.
    The message begins with the file's name.
    """
    photo, mask = read_photo(files[0]).on_white(), read_mask(files[1], table)
    if photo.shape[:2] != mask.shape:
        sizes = [f"{width} x {height}" for height, width in (mask.shape, photo.shape[:2])]
        raise UsageError(f"{files[1]} has {sizes[0]} pixels, but {files[0]} {sizes[1]}.")
    return photo, mask


def read_mask(file: str, table: ClassTable) -> Mask:
    """Read a mask, H x W uint8 of class ids and `VOID`. UsageError: as of `read_masked`."""
    try:
        with Image.open(file) as image:
            mode, values = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(f"{file}: It cannot be read as a mask: {error}.") from error
    if mode not in ("L", "P"):
        raise UsageError(
            f"{file}: Its pixels are {mode}, not class ids. Save masks as PNG, 8-bit gray or with a palette."
        )
    known = [*(c.id for c in table.classes), table.void]
    if wrong := sorted(set(np.unique(values).tolist()).difference(known)):
        last = len(table.classes) - 1
        raise UsageError(f"{file}: It has pixels of {wrong[0]}, but classes are 0 to {last}, and void is {table.void}.")
    mask: Mask = np.where(values == table.void, np.uint8(VOID), values)
    return mask
