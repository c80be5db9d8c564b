"""What reading an image yields: its pixels, and what the file carries beside them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import IFD, Base

_PIXELS_AT_ONCE = 1 << 16  # bounds the memory that floats and copies take

Pixels: TypeAlias = NDArray[np.uint8 | np.uint16]

# What Pillow raises on EXIF that is broken.
EXIF_ERRORS = (SyntaxError, ValueError, LookupError, TypeError, AttributeError, struct.error)

# EXIF 2.32, 4.6.4, and what Windows adds, less what says how a TIFF stores its pixels.
_DESCRIPTIVE = (
    *(Base.DocumentName, Base.ImageDescription, Base.Make, Base.Model, Base.XResolution, Base.YResolution),
    *(Base.ResolutionUnit, Base.Software, Base.DateTime, Base.Artist, Base.HostComputer, Base.Rating, Base.Copyright),
    *(Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """ICC profile, EXIF and XMP as they stand in the file; of a TIFF's tags, those that EXIF has too.

    icc_applied: whether the pixels were brought from the profile into sRGB; False when it could not be used.
    others: what else the file carries and no one reads, by name.
    """

    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    icc_applied: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """One image, upright and in sRGB.

    pixels: H x W x 3, RGB, uint8 or uint16, not premultiplied. alpha: H x W of the same type, or None.
    size: full (width, height), upright; larger than the pixels' when they were decoded at a reduced scale.
    format: the container in Pillow's words; a multi-picture JPEG is "JPEG". note: what a person ought to know, or None.
    lossless: whether the file holds every pixel as it was given. grey: whether it holds grey only.
    """

    pixels: Pixels
    alpha: Pixels | None
    size: tuple[int, int]
    format: str
    metadata: Metadata
    note: str | None = None
    lossless: bool = False
    grey: bool = False

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


def describe(exif: Image.Exif) -> dict[int, Any]:
    """The tags that tell of a picture, not of how a TIFF stores it; directories below are dicts. Raises EXIF_ERRORS."""
    tags: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIPTIVE if tag in exif}
    # Pillow reads names as Latin-1, and would write what is not ASCII as question marks.
    tags = {tag: value.encode("latin-1") if isinstance(value, str) else value for tag, value in tags.items()}
    tags |= {tag: dict(below) for tag in (IFD.Exif, IFD.GPSInfo) if (below := exif.get_ifd(tag))}
    if IFD.Interop in tags.get(IFD.Exif, {}):
        tags[IFD.Exif][IFD.Interop] = exif.get_ifd(IFD.Interop)
    return tags


def renew_exif(exif: bytes, width: int, height: int) -> bytes | None:
    """Make EXIF true of upright pixels: no orientation, their size, no thumbnail. None where it is broken.

    Changed where it stands, for makers' notes hold offsets that writing it anew would break.
    Returns it without the "Exif\\0\\0" that JPEG puts before it.
    """
    data = bytearray(re.sub(rb"^(Exif\0\0)+", b"", exif))
    sizes: dict[int, int] = {Base.ImageWidth: width, Base.ImageLength: height}
    try:
        order = {b"II*\0": "<", b"MM\0*": ">"}[bytes(data[:4])]
        (first,) = struct.unpack_from(order + "I", data, 4)
        after, pointers = _rewrite(data, order, first, sizes)
        if IFD.Exif in pointers:
            _rewrite(data, order, pointers[IFD.Exif], {Base.ExifImageWidth: width, Base.ExifImageHeight: height})
        if after:
            _cut_thumbnail(data, order, after)
    except (LookupError, struct.error):
        return None
    return bytes(data)


def _rewrite(data: bytearray, order: str, at: int, sizes: Mapping[int, int]) -> tuple[int, dict[int, int]]:
    """Renew the directory at `at`, and end the chain there. Returns where the next one was, and its tags' values."""
    (count,) = struct.unpack_from(order + "H", data, at)
    entries = [struct.unpack_from(order + "HHII", data, at + 2 + 12 * i) for i in range(count)]
    (after,) = struct.unpack_from(order + "I", data, at + 2 + 12 * count)
    sized = [(tag, 4, 1, sizes[tag]) if tag in sizes else (tag, *rest) for tag, *rest in entries]
    kept = [entry for entry in sized if entry[0] != Base.Orientation]
    packed = b"".join(struct.pack(order + "HHII", *entry) for entry in kept)
    data[at : at + 6 + 12 * count] = (struct.pack(order + "H", len(kept)) + packed).ljust(6 + 12 * count, b"\0")
    return after, {tag: value for tag, _, _, value in kept}


def _cut_thumbnail(data: bytearray, order: str, at: int) -> None:
    tags = _rewrite(data, order, at, {})[1]
    start, size = tags.get(Base.JpegIFOffset, 0), tags.get(Base.JpegIFByteCount, 0)
    # At the end is where it stands nearly always; elsewhere it is harmless, as nothing leads to it any more.
    if data[start : start + 2] == b"\xff\xd8" and start + size >= len(data):
        del data[start:]


def renew_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """Make XMP true of upright pixels: their orientation and size, no thumbnail."""
    sizes = {b"tiff:ImageWidth": width, b"tiff:ImageLength": height}
    sizes |= {b"exif:PixelXDimension": width, b"exif:PixelYDimension": height}
    for name, value in {b"tiff:Orientation": 1, **sizes}.items():
        xmp = re.sub(rb"(%b\s*(?:=\s*[\"']|>)\s*)\d+" % name, rb"\g<1>%d" % value, xmp)
    # Not by `.*?`: where none is closed, the rest of the file would be searched from each one's beginning.
    return re.sub(rb"<xmp:Thumbnails>[^<]*(?:<(?!/?xmp:Thumbnails>)[^<]*)*</xmp:Thumbnails>", b"", xmp)
