"""Masks: H x W bytes, each the id of its pixel's class, or `VOID`. As files they are PNGs with the classes' colors."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin  # noqa: F401 - makes the format known to Pillow

from attnimg.labels import VOID, Color

Mask = NDArray[np.uint8]


def make_palette(colors: Sequence[Color]) -> NDArray[np.uint8]:
    """Return 256 x 3 RGB: the classes' colors, and black."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = colors
    return palette


def encode_mask(mask: Mask, colors: Sequence[Color]) -> memoryview:
    """Encode a mask as an 8-bit PNG with a palette of 256 entries."""
    image = Image.fromarray(mask)
    image.putpalette(make_palette(colors).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=4)  # higher levels pack areas of one color hardly better
    return file.getbuffer()


def decode_mask(path: str) -> Mask:
    """Read a file that `encode_mask` made."""
    with Image.open(path) as image:
        return np.array(image)


def keep_only(mask: Mask, ids: Sequence[int]) -> Mask:
    """Return a mask whose other classes are `VOID`."""
    table = np.full(256, VOID, np.uint8)
    table[list(ids)] = ids
    return table[mask]
