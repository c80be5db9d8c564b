"""Masks: H x W uint8 class ids, or `VOID`; stored as PNG with a palette of the classes' colors."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin  # noqa: F401 - registers the format with Pillow

from attnimg.labels import VOID, Color

Mask = NDArray[np.uint8]


def make_palette(colors: Sequence[Color]) -> NDArray[np.uint8]:
    """Return a palette, 256 x 3 RGB: the classes' colors, then black."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = colors
    return palette


def encode_mask(mask: Mask, colors: Sequence[Color]) -> memoryview:
    """Encode a mask as an 8-bit PNG with a palette of 256 entries."""
    image = Image.fromarray(mask)
    image.putpalette(make_palette(colors).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4)  # higher levels hardly compress areas of one color better
    return file.getbuffer()


def decode_mask(path: str) -> Mask:
    """Read a file written by `encode_mask`."""
    with Image.open(path) as image:
        return np.array(image)


def keep_only(mask: Mask, ids: Sequence[int]) -> Mask:
    """Return the mask with all classes except `ids` set to `VOID`."""
    table = np.full(256, VOID, np.uint8)
    table[list(ids)] = ids
    return table[mask]
