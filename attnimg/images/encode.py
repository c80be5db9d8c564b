"""Encode a picture in the manner of the file that it came from: format, depth, alpha, colour profile, EXIF and XMP.

OpenCV encodes JPEG in half of Pillow's time and lets other threads run meanwhile; PNG and TIFF are `lossless`'s.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

import attnimg.images.read  # noqa: F401 - makes the formats known to Pillow
from attnimg.errors import ImageError
from attnimg.images.colour import ProfileError, from_srgb, space_of, to_grey
from attnimg.images.lossless import encode_png, encode_tiff
from attnimg.images.opencv import memory_errors
from attnimg.images.picture import Metadata, Pixels, lay_on_white, renew_exif, renew_xmp, to_bytes

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
_LONGEST = {"JPEG": 65_500, "PNG": 1_000_000, "WEBP": 16_383, "AVIF": 32_768}

_SEGMENT = 65_533  # bytes that a segment of JPEG holds


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
) -> bytes | memoryview:
    """Encode H x W x 3 sRGB pixels, uint8 or uint16, and H x W alpha of the same type.

    format: one of `EXTENSIONS`. metadata: as `read` yields it; EXIF and XMP are made true of these pixels, broken
    EXIF is dropped, and so is what does not fit into JPEG's segments of 64 KB.
    lossless: for WebP; PNG, TIFF and BMP always are, JPEG, AVIF and HEIF never. quality: 0 to 100, for the lossy ones.
    grey: write grey only, the luma, where the format has it.

    Pixels go back into the profile, CMYK included; one that the format does not hold, or that has no way back, is
    dropped, and they stay sRGB. Only PNG and TIFF hold 16 bits, others get them rounded to 8; JPEG is laid on white.

    Raises MemoryError, and ImageError: write-failed.
    """
    height, width = pixels.shape[:2]
    longest = _LONGEST.get(format, 2**31 - 1)
    if not 0 < min(width, height) <= max(width, height) <= longest:
        raise ImageError(
            "write-failed",
            f"{format} takes sides of 1 to {longest} pixels, and it has {width} x {height} pixels. "
            "Scale it down, or convert it to TIFF.",
        )
    try:
        with memory_errors():
            if format == "JPEG" and alpha is not None:
                pixels, alpha = lay_on_white(pixels, alpha), None
            if format not in _DEEP:
                pixels, alpha = to_bytes(pixels), None if alpha is None else to_bytes(alpha)
            colours, icc = _leave_srgb(pixels, metadata, format, grey)
            exif = renew_exif(metadata.exif, width, height) if metadata.exif else None
            xmp = renew_xmp(metadata.xmp, width, height) if metadata.xmp else None
            beside = Metadata(icc, exif, xmp)
            if format == "PNG":
                return encode_png(colours, alpha, beside)
            if format == "TIFF":
                return encode_tiff(colours, alpha, beside)
            if format == "JPEG":
                return _encode_jpeg(colours, beside, quality)
            if format == "BMP":
                return _encode_opencv(".bmp", colours if alpha is None else np.dstack([pixels, alpha]))
            return _encode_pillow(format, colours, alpha, beside, lossless, quality)
    except MemoryError:
        raise
    except Exception as error:  # encoders raise anything
        raise ImageError(
            "write-failed", f"It cannot be encoded as {format}: {error}. Convert it to another format."
        ) from error


def _leave_srgb(pixels: Pixels, metadata: Metadata, format: str, grey: bool) -> tuple[Pixels, bytes | None]:
    """Return H x W, H x W x 3 or H x W x 4 (CMYK) colours, and the profile that they are in; None: sRGB."""
    icc, colours, grey = metadata.icc, pixels, grey and format in _GREY
    try:
        if icc and space_of(icc) not in _PROFILES.get(format, ("RGB",)):
            icc = None
        elif icc and metadata.icc_applied:
            colours = from_srgb(pixels, icc)
        elif icc and space_of(icc) != ("GRAY" if grey else "RGB"):
            icc = None
    except ProfileError:
        icc = None
    return to_grey(colours) if grey and colours.shape[2:] == (3,) else colours, icc


def _encode_jpeg(colours: Pixels, beside: Metadata, quality: int) -> bytes:
    if colours.shape[2:] == (4,):
        file = io.BytesIO()
        Image.fromarray(colours, "CMYK").save(file, "JPEG", quality=quality)
        data = file.getbuffer()
    else:
        # At this quality, colours at half the resolution would be the greater loss, and seen first in what was dark.
        whole = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        data = _encode_opencv(".jpg", colours, cv2.IMWRITE_JPEG_QUALITY, quality, *whole)
    bodies = [(b"\xe1", b"Exif\0\0" + beside.exif)] if beside.exif else []
    bodies += [(b"\xe1", b"http://ns.adobe.com/xap/1.0/\0" + beside.xmp)] if beside.xmp else []
    # ICC.1:2022, B.4: in pieces that are numbered from 1.
    room = _SEGMENT - len(b"ICC_PROFILE\0..")
    pieces = [beside.icc[at : at + room] for at in range(0, len(beside.icc), room)] if beside.icc else []
    bodies += [(b"\xe2", b"ICC_PROFILE\0%c%c%b" % (i, len(pieces), piece)) for i, piece in enumerate(pieces, 1)]
    fitting = [(marker, body) for marker, body in bodies if len(body) <= _SEGMENT]
    segments = [b"\xff%b%b%b" % (marker, struct.pack(">H", 2 + len(body)), body) for marker, body in fitting]
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
