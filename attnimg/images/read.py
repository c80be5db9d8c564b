"""Read an image of any format, bit depth, color model and orientation as upright sRGB pixels.

Pillow decodes. It lets other threads run, raises on truncated files (OpenCV fills the rest of a JPEG with gray), and
decodes JPEGs at a reduced scale about as fast as OpenCV. AVIF and HEIC of 10 or 12 bits are read at 8.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EINVAL
from typing import BinaryIO, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.JpegImagePlugin import JpegImageFile

from attnimg.errors import ImageError
from attnimg.files.formats import HEAD, sniff
from attnimg.files.source import Source
from attnimg.images.backends import opencv_memory_errors, pixel_limit, register_heif
from attnimg.images.color import ProfileError, is_other_rgb, srgb_from_16bit, to_srgb
from attnimg.images.decoded import DecodedImage
from attnimg.images.directories import check_directories
from attnimg.images.limits import (
    RESTORE,
    SAVE_AGAIN,
    LimitedAvif,
    LimitedFile,
    check_chunks,
    check_scans,
    check_strips,
    open_source,
)
from attnimg.images.metadata import Metadata, read_orientation
from attnimg.images.pixels import Pixels, row_bands
from attnimg.images.sixteen_bit import count_bits, has_unsupported_samples, read_16bit

T = TypeVar("T")

MAX_PIXELS = 300_000_000

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B")
_GRAY_MODES = ("1", "L", "LA", "I;16", "I;16B")
# Not Pillow's own, which decode numbers without a limit: a JPEG's directory of further images, and an AVIF's EXIF.
_OPENERS: dict[str, Callable[[BinaryIO, str], Image.Image]] = {"JPEG": JpegImageFile, "AVIF": LimitedAvif}
_LOSSLESS = ("PNG", "TIFF", "BMP", "GIF")
# EXIF 2.32, 4.6.4 A: whether to transpose, then how to flip in OpenCV's code (0 upside down, 1 sideways, -1 both).
_TURNS = {2: (False, 1), 3: (False, -1), 4: (False, 0), 5: (True, None), 6: (True, 1), 7: (True, -1), 8: (True, 0)}


def read(source: Source, *, max_pixels: int = MAX_PIXELS, shortest: int | None = None) -> DecodedImage:
    """Decode a source.

    max_pixels: largest number of pixels; images of more are refused before decoding. Pixels of 16 bits, of WebP and
    AVIF, and of progressive JPEGs count twice, because their decoders need twice the memory. shortest: length of the
    shortest side that suffices, in pixels. JPEGs are then decoded at the smallest of 1/2, 1/4 and 1/8 that keeps it.

    Raises ImageError of kinds missing, unreadable, unsupported, damaged, too-large, out-of-memory.
    """
    if source.error is not None:
        raise source.error
    try:
        with open_source(source) as file:
            stream = LimitedFile(file)
            try:
                return _decode(stream, max_pixels, shortest)
            except Image.DecompressionBombError:
                stream.limit_header(None)
                with pixel_limit(max_pixels):
                    return _decode(stream, max_pixels, shortest)
            finally:
                stream.check_unchanged()
    except Image.DecompressionBombError as error:
        raise ImageError(
            "too-large", f"It has over {2 * max_pixels} pixels. Raise --max-pixels, now {max_pixels}, if you trust it."
        ) from error
    except MemoryError as error:
        raise ImageError("out-of-memory", "There is not enough memory to decode it. Use fewer --workers.") from error


def _decode(stream: LimitedFile, max_pixels: int, shortest: int | None) -> DecodedImage:
    with _decoding(), opencv_memory_errors():
        head = stream.read(HEAD)
        format_ = _identify(head)
        image = _parse(stream, format_, head)
        width, height = image.size
        bits = count_bits(image, head)
        twice = bits == 16 or format_ in ("WEBP", "AVIF") or "progressive" in image.info
        if width * height * (1 + twice) > max_pixels:
            kind = twice * ", of a kind that counts twice"
            raise ImageError(
                "too-large", f"It has {width} x {height} pixels{kind}. Raise --max-pixels, now {max_pixels}."
            )
        if bits not in (1, 2, 4, 8, 16) or image.mode not in _MODES:
            raise _unsupported(f"of the kind {image.mode}, {bits} bits")
        # The further images in a JPEG belong to the first one: previews, depth.
        animated = format_ != "JPEG" and getattr(image, "is_animated", False)
        stream.limit_pixels(format_, width * height)
        check_scans(stream.file, image)
        check_strips(image)
        if shortest is not None:
            image.draft(None, (shortest, shortest))
        image.load()
        deep = read_16bit(cast("BinaryIO", stream), image) if bits == 16 else None
        shallow = "its 16 bits per color were read as 8" if bits == 16 and deep is None else None
        icc = image.info.get("icc_profile")
        pixels, stored, alpha, note = _read_colors(image, deep, icc, keep_stored=shortest is None)
        metadata = Metadata.of(image, icc_applied=note is None)
        lossless = format_ in _LOSSLESS or (format_ == "WEBP" and _is_lossless_webp(stream))
        # Pillow makes RGBA of 16 bits with alpha; the second bit of a PNG's color type stands for color.
        gray = image.mode in _GRAY_MODES or (format_ == "PNG" and not head[25] & 2)
        orientation, complaint = read_orientation(image)
        transpose, flip = _TURNS.get(orientation, (False, None))
        del image  # to free its memory
        pixels = _turn(pixels, transpose, flip)
        stored, alpha = (None if part is None else _turn(part, transpose, flip) for part in (stored, alpha))
    size = (height, width) if transpose else (width, height)
    first = "only the first of its frames or pages was read" if animated else None
    note = "; ".join(filter(None, [first, shallow, note, complaint])) or None
    return DecodedImage(pixels, alpha, size, format_, metadata, note, lossless, gray, stored)


def _parse(stream: LimitedFile, format: str, head: bytes) -> Image.Image:
    if format == "PNG":
        check_chunks(stream.file)
    stream.limit_header(format)
    file = cast("BinaryIO", stream)
    if format == "TIFF":
        check_directories(file)
        stream.limit_header(format)
    try:
        # Not `Image.open`, whose limit of pixels is one for the whole process.
        image: Image.Image = _OPENERS.get(format, Image.OPEN[format][0])(file, "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        if format == "TIFF" and has_unsupported_samples(file, head):
            raise _unsupported("floats, signed, or of an odd number of bits") from None
        raise UnidentifiedImageError from error
    if format == "TIFF" and _is_preview(image, head):
        raise ImageError("unsupported", "It is a camera's raw file. Develop it to TIFF or JPEG first.")
    for name in ("icc_profile", "xmp", "exif"):  # in a TIFF they may be of any type
        if not isinstance(image.info.get(name), bytes):
            image.info.pop(name, None)
    return image


def _is_preview(image: Image.Image, head: bytes) -> bool:
    """Whether the first image of a TIFF is a preview, as in DNG (1.7.1, chapter 2), NEF, ARW and, by its mark, CR2."""
    tags = getattr(image, "tag_v2", {})
    return head[8:10] == b"CR" or Base.DNGVersion in tags or bool(tags.get(Base.NewSubfileType, 0) & 1)


def _unsupported(pixels: str) -> ImageError:
    return ImageError("unsupported", f"Its pixels are {pixels}. Convert it to RGB or gray of 8 or 16 bits.")


def _identify(head: bytes) -> str:
    if not head:
        raise ImageError("damaged", f"The file is empty. {RESTORE}")
    format_ = sniff(head)
    if format_ is None:
        raise ImageError("unsupported", "It is not an image of a known format. Convert it to JPEG, PNG, TIFF or WebP.")
    if format_ == "HEIF" and not register_heif():
        raise ImageError("unsupported", "Reading HEIC needs an extra: pip install 'attnimg[heic]'.")
    return format_


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (ImageError, MemoryError, Image.DecompressionBombError):
        raise
    except UnidentifiedImageError as error:
        raise ImageError("damaged", f"Its header is broken, or of an unknown layout. {SAVE_AGAIN}") from error
    except Exception as error:  # a decoder may raise anything on a broken file
        # Only errors of the system have a number; EINVAL is the result of a bad offset in a broken header.
        if isinstance(error, OSError) and error.errno not in (None, EINVAL):
            raise ImageError("unreadable", f"Reading it failed: {error.strerror}. Check disk and network.") from error
        reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        raise ImageError("damaged", f"It cannot be decoded: {reason}. {RESTORE}") from error


def _read_colors(
    image: Image.Image, deep: NDArray[np.uint16] | None, icc: bytes | None, *, keep_stored: bool
) -> tuple[Pixels, Pixels | None, Pixels | None, str | None]:
    """Return sRGB pixels (H x W x 3); the stored pixels if in other RGB, or None; alpha (H x W) or None; note or None.

    keep_stored: whether to return the second.
    """
    if deep is not None:
        clear = deep[..., 3] if deep.shape[2:] == (4,) else None
        before = deep if deep.ndim == 2 else deep[..., :3]
        colors, note = _apply_profile(srgb_from_16bit, before, icc)
        if deep.ndim == 2:
            return np.dstack([colors] * 3), None, clear, note
        return colors, before if keep_stored and colors is not before else None, clear, note
    width, height = image.size
    pixels, note = np.empty((height, width, 3), np.uint8), None
    stored = np.empty_like(pixels) if keep_stored and icc and is_other_rgb(icc, image.mode) else None
    alpha = np.empty((height, width), np.uint8) if image.has_transparency_data else None
    for rows in row_bands(height, width):
        band = image.crop((0, rows.start, width, rows.stop))
        if alpha is not None:
            alpha[rows] = np.asarray(band.convert("RGBA").getchannel("A"))
        if stored is not None:
            stored[rows] = np.asarray(band.convert("RGB"))
        band, note = _apply_profile(to_srgb, band, icc)
        pixels[rows] = np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
    return pixels, stored, alpha, note


def _apply_profile(convert: Callable[[T, bytes], T], colors: T, icc: bytes | None) -> tuple[T, str | None]:
    if not icc:
        return colors, None
    try:
        return convert(colors, icc), None
    except ProfileError as error:
        return colors, f"its color profile was ignored, for {error}"


def _is_lossless_webp(stream: LimitedFile) -> bool:
    """Whether the chunk with the first frame's pixels is lossless (RFC 9649, 2.3 to 2.7)."""
    stream.seek(12)
    while len(head := stream.read(8)) == 8:
        if head[:4] in (b"VP8L", b"VP8 "):
            return head[:4] == b"VP8L"
        size = int.from_bytes(head[4:], "little")
        stream.seek(16 if head[:4] == b"ANMF" else size + size % 2, os.SEEK_CUR)  # a frame's chunks follow 16 bytes
    return False


def _turn(pixels: Pixels, transpose: bool, flip: int | None) -> Pixels:
    turned: Pixels = np.ascontiguousarray(cv2.transpose(pixels) if transpose else pixels, pixels.dtype)
    if flip is not None:
        cv2.flip(turned, flip, turned)
    return turned
