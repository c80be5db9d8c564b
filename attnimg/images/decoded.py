"""A decoded image: pixels, alpha, and what the file carried beside them."""

from __future__ import annotations

from dataclasses import dataclass

from attnimg.images.metadata import Metadata
from attnimg.images.pixels import Pixels, composite_on_white


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """One image, upright and in sRGB.

    pixels: H x W x 3, RGB, uint8 or uint16, not premultiplied. alpha: H x W of the same type, or None.
    size: full (width, height), upright; larger than the pixels' when they were decoded at a reduced scale.
    format: the container in Pillow's words; a multi-picture JPEG is "JPEG". note: what a person ought to know, or None.
    lossless: whether the file holds every pixel as it was given. gray: whether it holds gray only.
    profile_pixels: the pixels in the RGB of the file's profile, as stored, if that is not sRGB; None also after
    decoding at a reduced scale, as such pixels are never written.
    """

    pixels: Pixels
    alpha: Pixels | None
    size: tuple[int, int]
    format: str
    metadata: Metadata
    note: str | None = None
    lossless: bool = False
    gray: bool = False
    profile_pixels: Pixels | None = None

    def on_white(self) -> Pixels:
        """The pixels laid over white, as viewers show them, for a net to see. `pixels` itself without alpha."""
        return self.pixels if self.alpha is None else composite_on_white(self.pixels, self.alpha)
