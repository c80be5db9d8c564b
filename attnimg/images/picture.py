"""What reading an image yields: its pixels, and what the file carries beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 256  # bounds the memory that the floats take

Pixels: TypeAlias = NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, slots=True)
class Metadata:
    """ICC profile, EXIF and XMP as they stand in the file."""

    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, upright and in sRGB.

    pixels: H x W x 3, RGB, uint8 or uint16, not premultiplied. alpha: H x W of the same type, or None.
    size: full (width, height), upright; larger than the pixels' when they were decoded at a reduced scale.
    format: the container in Pillow's words; a multi-picture JPEG is "JPEG". note: what a person ought to know, or None.
    """

    pixels: Pixels
    alpha: Pixels | None
    size: tuple[int, int]
    format: str
    metadata: Metadata
    note: str | None = None

    def on_white(self) -> Pixels:
        """The pixels laid over white, as viewers show them, for a net to see. `pixels` itself without alpha."""
        if self.alpha is None:
            return self.pixels
        full = np.iinfo(self.pixels.dtype).max
        blended = np.empty_like(self.pixels)
        for top in range(0, len(blended), _ROWS_AT_ONCE):
            rows = slice(top, top + _ROWS_AT_ONCE)
            cover = self.alpha[rows, :, None] / np.float32(full)
            blended[rows] = np.rint(self.pixels[rows] * cover + full * (1 - cover))
        return blended
