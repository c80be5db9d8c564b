"""What reading an image yields, and what is done to pixels some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.images.metadata import Metadata

_PIXELS_AT_ONCE = 1 << 16  # bounds the memory that floats and copies take

Pixels: TypeAlias = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, upright and in sRGB.

    pixels: H x W x 3, RGB, uint8 or uint16, not premultiplied. alpha: H x W of the same type, or None.
    size: full (width, height), upright; larger than the pixels' when they were decoded at a reduced scale.
    format: the container in Pillow's words; a multi-picture JPEG is "JPEG". note: what a person ought to know, or None.
    lossless: whether the file holds every pixel as it was given. grey: whether it holds grey only.
    own: the pixels in the RGB of the file's profile, as they stand in it, where that is not sRGB; else None, and for
    who asked for a reduced scale, as what is written is never made of that.
    """

    pixels: Pixels
    alpha: Pixels | None
    size: tuple[int, int]
    format: str
    metadata: Metadata
    note: str | None = None
    lossless: bool = False
    grey: bool = False
    own: Pixels | None = None

    def on_white(self) -> Pixels:
        """The pixels laid over white, as viewers show them, for a net to see. `pixels` itself without alpha."""
        return self.pixels if self.alpha is None else lay_on_white(self.pixels, self.alpha)


def bands(height: int, width: int) -> Iterator[slice]:
    """Cut a picture's rows into bands that each fit into little memory."""
    rows = max(1, _PIXELS_AT_ONCE // max(width, 1))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def to_bytes(pixels: Pixels) -> NDArray[np.uint8]:
    """Return pixels or alpha at 8 bits, rounded; themselves where they have these already."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=1 / 257), np.uint8)


def lay_on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Return H x W x 3 pixels blended with white by H x W alpha of the same type."""
    return lay_over(pixels, alpha, np.full(3, np.iinfo(pixels.dtype).max, pixels.dtype))


def lay_over(pixels: Pixels, alpha: Pixels, below: Pixels) -> Pixels:
    """Return H x W x 3 pixels blended by H x W alpha with what is below, such pixels or one colour; all of one type."""
    below = np.broadcast_to(below, pixels.shape)
    blended = np.empty_like(pixels)
    for rows in bands(*alpha.shape):
        cover = alpha[rows, :, None] / np.float32(np.iinfo(alpha.dtype).max)
        blended[rows] = np.rint(pixels[rows] * cover + below[rows] * (1 - cover))
    return blended
