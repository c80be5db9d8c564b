"""Arrays of pixels: row bands, depth conversion and alpha blending."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

_PIXELS_AT_ONCE = 1 << 16  # bounds the memory for floats and copies

Pixels: TypeAlias = NDArray[np.uint8 | np.uint16]
"""An H x W x 3 RGB or H x W gray array."""


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows; the pixels of each take little memory, even as floats."""
    rows = max(1, _PIXELS_AT_ONCE // max(width, 1))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def to_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    """Return pixels or alpha rounded to uint8; the same array if it is uint8."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=1 / 257), np.uint8)


def composite_on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Composite H x W x 3 pixels on white by H x W alpha of the same type."""
    return alpha_blend(pixels, alpha, np.full(3, np.iinfo(pixels.dtype).max, pixels.dtype))


def alpha_blend(pixels: Pixels, alpha: Pixels, background: Pixels) -> Pixels:
    """Blend H x W x 3 pixels by H x W alpha with a background: such pixels, or one color. All are of one type."""
    background = np.broadcast_to(background, pixels.shape)
    blended = np.empty_like(pixels)
    for rows in row_bands(*alpha.shape):
        cover = alpha[rows, :, None] / np.float32(np.iinfo(alpha.dtype).max)
        blended[rows] = np.rint(pixels[rows] * cover + background[rows] * (1 - cover))
    return blended
