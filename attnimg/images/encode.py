"""Encode a picture in the manner of the file that it came from: format, depth, alpha, colour profile, EXIF and XMP.

OpenCV encodes JPEG in half of Pillow's time and lets other threads run meanwhile; PNG and TIFF are `lossless`'s.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

import attnimg.images.pillow  # noqa: F401 - makes the formats known to Pillow
from attnimg.errors import ImageError
from attnimg.images.colour import ProfileError, from_srgb, space_of, to_grey
from attnimg.images.lossless import encode_png, encode_tiff, read_tags
from attnimg.images.metadata import EXIF_ERRORS, Metadata, renew_exif, renew_xmp
from attnimg.images.opencv import memory_errors
from attnimg.images.picture import Picture, Pixels, lay_on_white, to_bytes

QUALITY = 95

# The first is given to new names.
EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    **({"HEIF": (".heic", ".heif", ".hif")} if "HEIF" in Image.SAVE else {}),
}
# What a format can hold: the colours a profile may be for, and what need not become RGB of 8 bits.
_PROFILES = {"JPEG": ("GRAY", "RGB", "CMYK"), "TIFF": ("GRAY", "RGB", "CMYK"), "PNG": ("GRAY", "RGB"), "BMP": ()}
_GREY = ("JPEG", "PNG", "TIFF", "BMP")
_DEEP = ("PNG", "TIFF")
# Pixels of a side: the format's own limit, or that of the libraries that read it (libpng, libavif).
LONGEST = {"JPEG": 65_500, "PNG": 1_000_000, "WEBP": 16_383, "AVIF": 32_768}

_SEGMENT = 65_533  # bytes that a segment of JPEG holds
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0%c%c"
_PIECE = _SEGMENT - len(_ICC % (1, 1))  # bytes of a profile
# Bytes that a format holds where these are limited: of EXIF or XMP, each with its header, and of a profile. What PNG
# holds of that, `guard` limits.
_MOST_BESIDE = {"JPEG": _SEGMENT, "BMP": 0}
_MOST_ICC = {"JPEG": 255 * _PIECE, "PNG": 1 << 22}


class Encoded(NamedTuple):
    """A file, and what of the picture it does not hold: a note for a person, or None."""

    data: bytes | memoryview
    note: str | None


def output_format(format: str) -> str:
    """The format in which what came as another is written: itself, or PNG where it cannot be written."""
    return format if format in EXTENSIONS else "PNG"


def format_of(path: str | Path) -> str | None:
    """The format that a path's extension asks for; None for one that is not written."""
    return next((format for format, known in EXTENSIONS.items() if Path(path).suffix.lower() in known), None)


def extension_of(format: str, path: str | Path = "") -> str:
    """The path's own extension, as it is spelled, where it is one of the format's; else the format's usual one."""
    extension = Path(path).suffix
    return extension if extension.lower() in EXTENSIONS[format] else EXTENSIONS[format][0]


def encode(
    pixels: Pixels,
    alpha: Pixels | None = None,
    *,
    format: str,
    metadata: Metadata,
    lossless: bool = False,
    grey: bool = False,
    quality: int = QUALITY,
    before: Picture | None = None,
) -> Encoded:
    """Encode H x W x 3 sRGB pixels, uint8 or uint16, and H x W alpha of the same type.

    format: one of `EXTENSIONS`. metadata: as `read` yields it; EXIF and XMP are made true of these pixels.
    lossless: for WebP; PNG, TIFF and BMP always are, JPEG, AVIF and HEIF never. quality: 0 to 100, for the lossy ones.
    grey: write grey only, the luma, where the format has it. before: what was read and became these pixels, so that
    colours that sRGB cannot hold stay what they are beside it; its `own` is overwritten.

    Pixels go back into the profile, CMYK included; where it has no way back they stay sRGB. What the format cannot hold
    is noted: a profile, EXIF and XMP are dropped, 16 bits rounded to 8, JPEG is laid on white.

    Raises MemoryError, and ImageError: write-failed.
    """
    height, width = pixels.shape[:2]
    longest = LONGEST.get(format, 2**31 - 1)
    if not 0 < min(width, height) <= max(width, height) <= longest:
        raise ImageError(
            "write-failed",
            f"{format} takes sides of 1 to {longest} pixels, and it has {width} x {height} pixels. "
            "Scale it down, or convert it to TIFF.",
        )
    notes = [f"its {name} was dropped" for name in metadata.others]
    if alpha is not None and (format == "BMP" or (format == "TIFF" and pixels.dtype == np.uint16)):
        grey = False  # with alpha, BMP has no grey, and hardly any program reads it of 16 bits in a TIFF
    photos = [pixels, *([] if before is None or before.own is None else [before.own, before.pixels])]
    try:
        with memory_errors():
            if format == "JPEG" and alpha is not None:
                if alpha.min() < np.iinfo(alpha.dtype).max:
                    notes.append("its transparency became white, for JPEG holds none")
                photos, alpha = [lay_on_white(photo, alpha) for photo in photos], None
            if format not in _DEEP:
                if pixels.dtype != np.uint8:
                    notes.append(f"its 16 bits per colour became 8, for {format} holds no more")
                photos, alpha = list(map(to_bytes, photos)), None if alpha is None else to_bytes(alpha)
            colours, icc = _leave_srgb(photos, metadata, format, grey and format in _GREY, notes)
            exif = _fit_exif(metadata.exif, format, width, height, notes)
            xmp = _fit("XMP", metadata.xmp and renew_xmp(metadata.xmp, width, height), format, _XMP, notes)
            data = _encode_as(format, colours, alpha, Metadata(icc, exif, xmp), lossless, quality)
    except MemoryError:
        raise
    except Exception as error:  # encoders raise anything
        raise ImageError(
            "write-failed", f"It cannot be encoded as {format}: {error}. Convert it to another format."
        ) from error
    return Encoded(data, "; ".join(notes) or None)


def _leave_srgb(
    photos: Sequence[Pixels], metadata: Metadata, format: str, grey: bool, notes: list[str]
) -> tuple[Pixels, bytes | None]:
    """Return H x W, H x W x 3 or H x W x 4 (CMYK) colours, and the profile that they are in; None: sRGB.

    photos: the sRGB pixels, and those before, if any, as `from_srgb` takes them.
    """
    icc, colours = metadata.icc, photos[0]
    if icc:
        try:
            colours = _enter_profile(icc, photos, format, grey, applied=metadata.icc_applied)
        except ProfileError as error:
            notes.append(f"its colour profile was dropped, for {error}")
            icc = None
    return to_grey(colours) if grey and colours.shape[2:] == (3,) else colours, icc


def _enter_profile(icc: bytes, photos: Sequence[Pixels], format: str, grey: bool, *, applied: bool) -> Pixels:
    """Return the first photo in a profile; itself where it never left it. Raises ProfileError."""
    space = space_of(icc)
    if space not in _PROFILES.get(format, ("RGB",)) or len(icc) > _MOST_ICC.get(format, len(icc)):
        raise ProfileError(f"it does not fit into {format}")
    if space != ("GRAY" if grey else "RGB") and (space == "GRAY" or not applied):
        raise ProfileError(f"it is for {space} pixels")
    pixels, *before = photos
    return from_srgb(pixels, icc, before) if applied else pixels


def _fit_exif(exif: bytes | None, format: str, width: int, height: int, notes: list[str]) -> bytes | None:
    renewed = renew_exif(exif, width, height) if exif else None
    try:
        if renewed and format == "TIFF" and not read_tags(renewed)[1]:
            notes.append("some of its EXIF was dropped, for it does not fit into TIFF")
    except EXIF_ERRORS:
        renewed = None
    if exif and not renewed:
        notes.append("its EXIF was dropped, for it is broken")
    return _fit("EXIF", renewed, format, _EXIF, notes)


def _fit(name: str, data: bytes | None, format: str, header: bytes, notes: list[str]) -> bytes | None:
    """Return data if the format holds them; header: what JPEG puts before them."""
    most = _MOST_BESIDE.get(format)
    if not data or most is None or len(header) + len(data) <= most:
        return data
    notes.append(f"its {name} was dropped, for it does not fit into {format}")
    return None


def _encode_as(
    format: str, colours: Pixels, alpha: Pixels | None, beside: Metadata, lossless: bool, quality: int
) -> bytes | memoryview:
    if format == "PNG":
        return encode_png(colours, alpha, beside)
    if format == "TIFF":
        return encode_tiff(colours, alpha, beside)
    if format == "JPEG":
        return _encode_jpeg(colours, beside, quality)
    if format == "BMP":
        return _encode_opencv(".bmp", colours if alpha is None else np.dstack([colours, alpha]))
    return _encode_pillow(format, colours, alpha, beside, lossless, quality)


def _encode_jpeg(colours: Pixels, beside: Metadata, quality: int) -> bytes:
    if colours.shape[2:] == (4,):
        file = io.BytesIO()
        Image.fromarray(colours, "CMYK").save(file, "JPEG", quality=quality)
        data = file.getbuffer()
    else:
        # At this quality, colours at half the resolution would be the greater loss, and seen first in what was dark.
        whole = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        data = _encode_opencv(".jpg", colours, cv2.IMWRITE_JPEG_QUALITY, quality, *whole)
    bodies = [(b"\xe1", header + body) for header, body in ((_EXIF, beside.exif), (_XMP, beside.xmp)) if body]
    # ICC.1:2022, B.4: in pieces that are numbered from 1.
    icc = beside.icc or b""
    pieces = [icc[at : at + _PIECE] for at in range(0, len(icc), _PIECE)]
    bodies += [(b"\xe2", _ICC % (i, len(pieces)) + piece) for i, piece in enumerate(pieces, 1)]
    segments = [b"\xff%b%b%b" % (marker, struct.pack(">H", 2 + len(body)), body) for marker, body in bodies]
    return b"".join([data[:2], *segments, data[2:]])


def _encode_opencv(extension: str, colours: Pixels, *parameters: int) -> memoryview:
    orders = {(3,): cv2.COLOR_RGB2BGR, (4,): cv2.COLOR_RGBA2BGRA}
    order = orders.get(colours.shape[2:])
    done, data = cv2.imencode(extension, colours if order is None else cv2.cvtColor(colours, order), parameters)
    if not done:
        raise ValueError("it was refused")
    return data.data


def _encode_pillow(
    format: str, colours: Pixels, alpha: Pixels | None, beside: Metadata, lossless: bool, quality: int
) -> memoryview:
    image = Image.fromarray(colours)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    # Speeds and methods: what takes several times as long is 0.3 dB better at most. `exact` keeps the colours of what
    # is transparent. Writers are threads already, so that AVIF gets none of its own.
    options: dict[str, Any] = {"quality": quality, "subsampling": "4:4:4", "speed": 9, "max_threads": 1}
    if format == "WEBP" and lossless:
        options = {"lossless": True, "exact": True, "quality": 30, "method": 0}
    elif format == "WEBP":
        options = {"quality": quality, "method": 2}
    extras = {"icc_profile": beside.icc, "exif": beside.exif, "xmp": beside.xmp}
    file = io.BytesIO()
    image.save(file, format, **options, **{name: data for name, data in extras.items() if data})
    return file.getbuffer()
