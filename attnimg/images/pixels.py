"""Arrays of pixels: row bands, depth conversion and alpha blending."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

_PIXELS_AT_ONCE = 1 << 16  # bounds the memory that floats and copies take

Pixels: TypeAlias = NDArray[np.uint8 | np.uint16]
"""An H x W x 3 RGB or H x W gray array."""


def row_bands(height: int, width: int) -> Iterator[slice]:
    """Cut a picture's rows into bands that each fit into little memory."""
    rows = max(1, _PIXELS_AT_ONCE // max(width, 1))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def to_uint8(pixels: Pixels) -> NDArray[np.uint8]:
    """Return pixels or alpha at 8 bits, rounded; themselves where they have these already."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=1 / 257), np.uint8)


def composite_on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Return H x W x 3 pixels blended with white by H x W alpha of the same type."""
    return alpha_blend(pixels, alpha, np.full(3, np.iinfo(pixels.dtype).max, pixels.dtype))


def alpha_blend(pixels: Pixels, alpha: Pixels, below: Pixels) -> Pixels:
    """Return H x W x 3 pixels blended by H x W alpha with what is below, such pixels or one color; all of one type."""
    below = np.broadcast_to(below, pixels.shape)
    blended = np.empty_like(pixels)
    for rows in row_bands(*alpha.shape):
        cover = alpha[rows, :, None] / np.float32(np.iinfo(alpha.dtype).max)
        blended[rows] = np.rint(pixels[rows] * cover + below[rows] * (1 - cover))
    return blended
