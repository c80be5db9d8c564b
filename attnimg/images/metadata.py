"""What a file carries beside its pixels: ICC profile, EXIF and XMP, as they are read, and made true of new pixels."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from PIL import Image, PngImagePlugin, TiffImagePlugin
from PIL.ExifTags import IFD, Base

from attnimg.images.directories import check_directories

# What Pillow raises on EXIF that is broken.
EXIF_ERRORS = (SyntaxError, ValueError, LookupError, TypeError, AttributeError, struct.error)

_IPTC, _IPTC_OF_TIFF = 0x0404, {33723, 34377}  # among the resources of Photoshop, and the tags that hold it or them
_XMP_OF_PNG = "XML:com.adobe.xmp"
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

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    icc_applied: bool = True
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, image: Image.Image, *, icc_applied: bool) -> Self:
        """Return what Pillow found in a file, whose pixels it has loaded."""
        info = image.info
        return cls(info.get("icc_profile"), _read_exif(image), info.get("xmp"), icc_applied, _name_others(image))


def _read_exif(image: Image.Image) -> bytes | None:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        exif: bytes | None = image.info.get("exif")
        return exif
    found = Image.Exif()
    try:
        found.update(describe(image.getexif()))
        return found.tobytes() if found else None
    except EXIF_ERRORS:
        return None


def _name_others(image: Image.Image) -> tuple[str, ...]:
    texts = image.text.keys() - {_XMP_OF_PNG} if isinstance(image, PngImagePlugin.PngImageFile) else ()
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    found = {
        "IPTC": _IPTC in image.info.get("photoshop", ()) or not _IPTC_OF_TIFF.isdisjoint(tags),
        "comment": "comment" in image.info,
        "text": bool(texts),
    }
    return tuple(name for name, there in found.items() if there)


def read_orientation(image: Image.Image) -> tuple[int, str | None]:
    """Return EXIF's orientation, 1 where it has none, and a note or None."""
    try:
        if exif := image.info.get("exif"):
            check_directories(io.BytesIO(exif.removeprefix(b"Exif\0\0")))
        return image.getexif().get(Base.Orientation, 1), None
    except EXIF_ERRORS:
        return 1, "its EXIF is broken and was ignored"


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
