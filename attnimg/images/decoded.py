"""A decoded image: pixels, alpha, and the metadata of its file."""

from __future__ import annotations

from dataclasses import dataclass

from attnimg.images.metadata import Metadata
from attnimg.images.pixels import Pixels, composite_on_white


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image, upright and in sRGB.

    pixels: H x W x 3, RGB, uint8 or uint16, not premultiplied. alpha: H x W of the same type, or None. size: full
    (width, height), upright; larger than that of the pixels after decoding at a reduced scale. format: a key of
    `formats.FORMATS`. note: remark for the user, or None. lossless: whether the file's compression is. gray: whether
    the file has no colors. profile_pixels: the pixels as stored, if they are RGB in a profile other than sRGB; None
    also after decoding at a reduced scale, because such images are not written.
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
        """Return the pixels composited on white, as viewers show them; `pixels` itself without alpha."""
        return self.pixels if self.alpha is None else composite_on_white(self.pixels, self.alpha)
