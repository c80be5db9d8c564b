"""Encode an image with the properties of its original file: format, depth, alpha, color profile, EXIF and XMP.

OpenCV encodes JPEG in half of Pillow's time, and lets other threads run. `lossless` encodes PNG and TIFF.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.formats import DEFAULT_QUALITY, FORMATS
from attnimg.images.backends import MAX_TEXT_CHUNK, opencv_memory_errors, register_heif
from attnimg.images.color import ProfileError, from_srgb, space_of, to_gray
from attnimg.images.decoded import DecodedImage
from attnimg.images.lossless import encode_png, encode_tiff, read_tags
from attnimg.images.metadata import EXIF_ERRORS, Metadata, renew_exif, renew_xmp
from attnimg.images.pixels import Pixels, composite_on_white, to_uint8

_SEGMENT = 65_533  # bytes in a segment of a JPEG
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0%c%c"
_PIECE = _SEGMENT - len(_ICC % (1, 1))  # bytes of a profile in a segment
# Limits in bytes: of EXIF or XMP, each with its header, and of a profile. In a PNG, more of it could not be read back.
_MOST_METADATA = {"JPEG": _SEGMENT, "BMP": 0}
_MOST_ICC = {"JPEG": 255 * _PIECE, "PNG": MAX_TEXT_CHUNK}


class Encoded(NamedTuple):
    """An encoded file, and a note for the user about lost properties of the image, or None."""

    data: bytes | memoryview
    note: str | None


def encode(
    pixels: Pixels,
    alpha: Pixels | None = None,
    *,
    format: str,
    metadata: Metadata,
    lossless: bool = False,
    gray: bool = False,
    quality: int = DEFAULT_QUALITY,
    original: DecodedImage | None = None,
) -> Encoded:
    """Encode H x W x 3 sRGB pixels, uint8 or uint16, and H x W alpha of the same type.

    format: a key of `formats.FORMATS` that can be written. metadata: as `read` returns it; EXIF and XMP are updated for
    these pixels. lossless: for WebP; PNG, TIFF and BMP always are, JPEG, AVIF and HEIF never. gray: whether to write
    the luma alone, if the format has gray. quality: 1 to 100, for lossy formats. original: the decoded image before
    processing, so that colors outside sRGB are kept; its `profile_pixels` are overwritten.

    Pixels are converted back to the profile, also to CMYK, and stay sRGB if it cannot be inverted. The note lists what
    the format does not hold: profile, EXIF and XMP are dropped, 16 bits rounded to 8, transparency becomes white.

    Raises MemoryError, and ImageError: write-failed.
    """
    height, width = pixels.shape[:2]
    longest = FORMATS[format].longest
    if not 0 < min(width, height) <= max(width, height) <= longest:
        raise ImageError(
            "write-failed",
            f"Sides of a {format} have 1 to {longest} pixels, and it has {width} x {height} pixels. "
            "Scale it down, or convert it to TIFF.",
        )
    notes = [f"its {name} was dropped" for name in metadata.others]
    if alpha is not None and (format == "BMP" or (format == "TIFF" and pixels.dtype == np.uint16)):
        gray = False  # a BMP has no gray with alpha, and few programs read it from a 16-bit TIFF
    photos = [pixels]
    if original is not None and original.profile_pixels is not None:
        photos += [original.profile_pixels, original.pixels]
    try:
        with opencv_memory_errors():
            if format == "JPEG" and alpha is not None:
                if alpha.min() < np.iinfo(alpha.dtype).max:
                    notes.append("its transparency became white, for JPEG holds none")
                photos, alpha = [composite_on_white(photo, alpha) for photo in photos], None
            if not FORMATS[format].sixteen_bit:
                if pixels.dtype != np.uint8:
                    notes.append(f"its 16 bits per color became 8, for {format} holds no more")
                photos, alpha = list(map(to_uint8, photos)), None if alpha is None else to_uint8(alpha)
            colors, icc = _leave_srgb(photos, metadata, format, gray and FORMATS[format].gray, notes)
            exif = _fit_exif(metadata.exif, format, width, height, notes)
            xmp = _fit("XMP", metadata.xmp and renew_xmp(metadata.xmp, width, height), format, _XMP, notes)
            data = _encode_as(format, colors, alpha, Metadata(icc, exif, xmp), lossless, quality)
    except MemoryError:
        raise
    except Exception as error:  # encoders may raise anything
        raise ImageError(
            "write-failed", f"It cannot be encoded as {format}: {error}. Convert it to another format."
        ) from error
    return Encoded(data, "; ".join(notes) or None)


def _leave_srgb(
    photos: Sequence[Pixels], metadata: Metadata, format: str, gray: bool, notes: list[str]
) -> tuple[Pixels, bytes | None]:
    """Return H x W, H x W x 3 or H x W x 4 (CMYK) colors, and their profile; None for sRGB.

    photos: the sRGB pixels, and the original ones, if any, as for `from_srgb`.
    """
    icc, colors = metadata.icc, photos[0]
    if icc:
        try:
            colors = _enter_profile(icc, photos, format, gray, applied=metadata.icc_applied)
        except ProfileError as error:
            notes.append(f"its color profile was dropped, for {error}")
            icc = None
    return to_gray(colors) if gray and colors.shape[2:] == (3,) else colors, icc


def _enter_profile(icc: bytes, photos: Sequence[Pixels], format: str, gray: bool, *, applied: bool) -> Pixels:
    """Return the first photo in its profile; the same array if that was never applied. Raises ProfileError."""
    space = space_of(icc)
    if space not in FORMATS[format].spaces or len(icc) > _MOST_ICC.get(format, len(icc)):
        raise ProfileError(f"it does not fit into {format}")
    if space != ("GRAY" if gray else "RGB") and (space == "GRAY" or not applied):
        raise ProfileError(f"it is for {space} pixels")
    pixels, *original = photos
    return from_srgb(pixels, icc, original) if applied else pixels


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
    """Return the data if they fit into the format, else None. header: the bytes that JPEG puts before them."""
    most = _MOST_METADATA.get(format)
    if not data or most is None or len(header) + len(data) <= most:
        return data
    notes.append(f"its {name} was dropped, for it does not fit into {format}")
    return None


def _encode_as(
    format: str, colors: Pixels, alpha: Pixels | None, metadata: Metadata, lossless: bool, quality: int
) -> bytes | memoryview:
    if format == "PNG":
        return encode_png(colors, alpha, metadata)
    if format == "TIFF":
        return encode_tiff(colors, alpha, metadata)
    if format == "JPEG":
        return _encode_jpeg(colors, metadata, quality)
    if format == "BMP":
        return _encode_opencv(".bmp", colors if alpha is None else np.dstack([colors, alpha]))
    return _encode_pillow(format, colors, alpha, metadata, lossless, quality)


def _encode_jpeg(colors: Pixels, metadata: Metadata, quality: int) -> bytes:
    if colors.shape[2:] == (4,):
        file = io.BytesIO()
        Image.fromarray(colors, "CMYK").save(file, "JPEG", quality=quality)
        data = file.getbuffer()
    else:
        # At this quality, chroma subsampling would be the greater loss, visible first in dark regions.
        full_chroma = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        data = _encode_opencv(".jpg", colors, cv2.IMWRITE_JPEG_QUALITY, quality, *full_chroma)
    bodies = [(b"\xe1", header + body) for header, body in ((_EXIF, metadata.exif), (_XMP, metadata.xmp)) if body]
    # ICC.1:2022, B.4: the pieces are numbered from 1.
    icc = metadata.icc or b""
    pieces = [icc[at : at + _PIECE] for at in range(0, len(icc), _PIECE)]
    bodies += [(b"\xe2", _ICC % (i, len(pieces)) + piece) for i, piece in enumerate(pieces, 1)]
    segments = [b"\xff%b%b%b" % (marker, struct.pack(">H", 2 + len(body)), body) for marker, body in bodies]
    return b"".join([data[:2], *segments, data[2:]])


def _encode_opencv(extension: str, colors: Pixels, *parameters: int) -> memoryview:
    orders = {(3,): cv2.COLOR_RGB2BGR, (4,): cv2.COLOR_RGBA2BGRA}
    order = orders.get(colors.shape[2:])
    done, data = cv2.imencode(extension, colors if order is None else cv2.cvtColor(colors, order), parameters)
    if not done:
        raise ValueError("it was refused")
    return data.data


def _encode_pillow(
    format: str, colors: Pixels, alpha: Pixels | None, metadata: Metadata, lossless: bool, quality: int
) -> memoryview:
    image = Image.fromarray(colors)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    # Speeds and methods: slower ones take several times as long and gain 0.3 dB at most. `exact` keeps the colors of
    # transparent pixels. AVIF gets no threads of its own, because writers are threads.
    options: dict[str, Any] = {"quality": quality, "subsampling": "4:4:4", "speed": 9, "max_threads": 1}
    if format == "WEBP" and lossless:
        options = {"lossless": True, "exact": True, "quality": 30, "method": 0}
    elif format == "WEBP":
        options = {"quality": quality, "method": 2}
    extras = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    if format == "HEIF":
        register_heif()
    file = io.BytesIO()
    image.save(file, format, **options, **{name: data for name, data in extras.items() if data})
    return file.getbuffer()
