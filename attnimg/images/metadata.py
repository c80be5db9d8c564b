"""Metadata of an image file: read ICC profile, EXIF and XMP, and update them for new pixels."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from PIL import Image, PngImagePlugin, TiffImagePlugin
from PIL.ExifTags import IFD, Base

from attnimg.images.directories import check_exif

# Errors of Pillow for broken EXIF.
EXIF_ERRORS = (SyntaxError, ValueError, LookupError, TypeError, AttributeError, struct.error)

# A resource of Photoshop; the tags for IPTC and for such resources.
_IPTC, _IPTC_OF_TIFF = 0x0404, {33723, 34377}
_XMP_OF_PNG = "XML:com.adobe.xmp"
# EXIF 2.32, 4.6.4, and tags of Windows; without those for the storage of a TIFF's pixels.
_DESCRIPTIVE = (
    *(Base.DocumentName, Base.ImageDescription, Base.Make, Base.Model, Base.XResolution, Base.YResolution),
    *(Base.ResolutionUnit, Base.Software, Base.DateTime, Base.Artist, Base.HostComputer, Base.Rating, Base.Copyright),
    *(Base.XPTitle, Base.XPComment, Base.XPAuthor, Base.XPKeywords, Base.XPSubject),
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """ICC profile, EXIF and XMP as stored; for a TIFF, EXIF is made of the tags that EXIF has, too.

    icc_applied: whether the pixels were converted from the profile to sRGB; False for an unusable profile. others:
    names of further metadata in the file, which are not read.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    icc_applied: bool = True
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, image: Image.Image, *, icc_applied: bool) -> Self:
        """Return the metadata of an image, after Pillow has loaded its pixels."""
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
    """Return the orientation in EXIF, 1 by default, and a note or None."""
    try:
        check_exif(_find_exif(image))
        return image.getexif().get(Base.Orientation, 1), None
    except EXIF_ERRORS:
        return 1, "its EXIF is broken and was ignored"


def _find_exif(image: Image.Image) -> bytes:
    """Return the EXIF that Pillow uses; in a PNG it may be a text chunk, as of old versions of ImageMagick."""
    exif: bytes | None = image.info.get("exif")
    if exif is None and (text := image.info.get("Raw profile type exif")):
        exif = bytes.fromhex("".join(text.split("\n")[3:]))
    return exif or b""


def describe(exif: Image.Exif) -> dict[int, Any]:
    """Return the tags that describe an image rather than its storage. Directories are dicts. Raises EXIF_ERRORS."""
    tags: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIPTIVE if tag in exif}
    # Pillow decodes text as Latin-1, but would write question marks for all that is not ASCII.
    tags = {tag: value.encode("latin-1") if isinstance(value, str) else value for tag, value in tags.items()}
    tags |= {tag: dict(below) for tag in (IFD.Exif, IFD.GPSInfo) if (below := exif.get_ifd(tag))}
    if IFD.Interop in tags.get(IFD.Exif, {}):
        tags[IFD.Exif][IFD.Interop] = exif.get_ifd(IFD.Interop)
    return tags


def renew_exif(exif: bytes, width: int, height: int) -> bytes | None:
    """Update EXIF for upright pixels: new size, no orientation, no thumbnail. None if it is broken.

    It is edited in place, because offsets in maker notes would be wrong after rewriting it. Returns EXIF without the
    "Exif\\0\\0" that JPEG puts before it.
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
    """Update the directory at `at`, and make it the last one. Return the offset of the next one, and values by tag."""
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
    # Nearly always it is at the end. Elsewhere it may stay, because nothing points to it any more.
    if data[start : start + 2] == b"\xff\xd8" and start + size >= len(data):
        del data[start:]


def renew_xmp(xmp: bytes, width: int, height: int) -> bytes:
    """Update XMP for upright pixels: new size, orientation 1, no thumbnail."""
    sizes = {b"tiff:ImageWidth": width, b"tiff:ImageLength": height}
    sizes |= {b"exif:PixelXDimension": width, b"exif:PixelYDimension": height}
    for name, value in {b"tiff:Orientation": 1, **sizes}.items():
        xmp = re.sub(rb"(%b\s*(?:=\s*[\"']|>)\s*)\d+" % name, rb"\g<1>%d" % value, xmp)
    # Not `.*?`: without closing tags, each opening tag would start a search through the rest of the file.
    return re.sub(rb"<xmp:Thumbnails>[^<]*(?:<(?!/?xmp:Thumbnails>)[^<]*)*</xmp:Thumbnails>", b"", xmp)
