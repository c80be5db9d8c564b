"""Read one image as upright sRGB pixels, whatever its container, bit depth, colour model and orientation.

Pillow decodes. It lets other threads run meanwhile, raises on files that are cut short, and decodes JPEGs at a reduced
scale about as fast as OpenCV (which greys out what a cut JPEG lacks and carries on). OpenCV reads what Pillow would
drop to 8 bits: 16-bit RGB. AVIF and HEIC of 10 or 12 bits are read at 8.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from errno import EINVAL
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

# Imported for their names in Pillow's register, which otherwise loads every plugin it has.
from PIL import AvifImagePlugin, ExifTags, Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from attnimg.errors import ImageError
from attnimg.images.colour import ProfileError, deep_to_srgb, to_srgb
from attnimg.images.find import Source
from attnimg.images.formats import HEAD, sniff

__all__ = ["MAX_PIXELS", "Metadata", "Picture", "read"]

try:
    import pillow_heif
except ImportError:
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

MAX_PIXELS = 300_000_000

# What Pillow has to say (odd EXIF, sizes above its limit) either becomes an `ImageError` here or harms no pixel.
warnings.filterwarnings("ignore", module=r"PIL\.")

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

_GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
_8_BIT = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
# EXIF 2.32, 4.6.4 A: whether to transpose, then how to flip in OpenCV's code (0 upside down, 1 left to right, -1 both).
_ORIENTATIONS = {
    2: (False, 1),
    3: (False, -1),
    4: (False, 0),
    5: (True, None),
    6: (True, 1),
    7: (True, -1),
    8: (True, 0),
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the file carries beside its pixels, as it stands there."""

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
        """The pixels laid over white, as viewers show them: what a net is to see. `pixels` itself without alpha."""
        if self.alpha is None:
            return self.pixels
        full = np.iinfo(self.pixels.dtype).max
        cover = self.alpha[..., None].astype(np.float32) / full
        return np.rint(self.pixels * cover + full * (1 - cover)).astype(self.pixels.dtype)


def read(source: Source, *, max_pixels: int = MAX_PIXELS, shortest: int | None = None) -> Picture:
    """Decode a source.

    max_pixels: more are refused before any is decoded; also becomes Pillow's own limit.
    shortest: how many pixels of the shortest side are enough. JPEGs are then decoded at 1/2, 1/4 or 1/8 of their size
    where that many remain.

    Raises ImageError of kinds missing, unreadable, unsupported, damaged, too-large, out-of-memory.
    """
    if source.error is not None:
        raise source.error
    try:
        with _open(source) as stream:
            return _decode(stream, max_pixels, shortest)
    except MemoryError as error:
        raise ImageError("out-of-memory", "Memory does not suffice to decode it. Use fewer --workers.") from error


def _open(source: Source) -> BinaryIO:
    if source.data is not None:
        return io.BytesIO(source.data)
    try:
        file = Path(source.path).open("rb")
        if file.seekable():
            return file
        with file:
            return io.BytesIO(file.read())
    except FileNotFoundError as error:
        raise ImageError("missing", "There is no such file, or it is a link to none. Check the path.") from error
    except OSError as error:
        raise ImageError("unreadable", f"It cannot be opened: {error.strerror}. Check its rights.") from error


def _decode(stream: BinaryIO, max_pixels: int, shortest: int | None) -> Picture:
    head = stream.read(HEAD)
    format_ = _identify(head)
    Image.MAX_IMAGE_PIXELS = max_pixels
    with _decoding():
        image = Image.open(stream, formats=(format_,))
        width, height = image.size
        if width * height > max_pixels:
            raise ImageError("too-large", f"It has {width} x {height} pixels. Raise --max-pixels, now {max_pixels}.")
        # A multi-picture JPEG holds one picture and what belongs to it: previews, depth.
        animated = format_ != "JPEG" and getattr(image, "is_animated", False)
        if shortest is not None:
            image.draft("", (shortest, shortest))
        image.load()
        icc: bytes | None = image.info.get("icc_profile")
        deep = _read_deep(stream, head, image)
        pixels, alpha, note = _colours(image, icc) if deep is None else _deep_colours(image, deep, icc)
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if animated:
        note = "; ".join(filter(None, ["the first of several frames or pages", note]))
    return Picture(
        _turn(pixels, orientation),
        None if alpha is None else _turn(alpha, orientation),
        (height, width) if _ORIENTATIONS.get(orientation, _UPRIGHT)[0] else (width, height),
        format_,
        Metadata(icc, image.info.get("exif"), image.info.get("xmp")),
        note,
    )


def _identify(head: bytes) -> str:
    if not head:
        raise ImageError("damaged", "The file is empty. Restore it from where it came.")
    format_ = sniff(head)
    if format_ is None:
        raise ImageError("unsupported", "It is no JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF or HEIC. Convert it to one of them.")
    if format_ == "HEIF" and pillow_heif is None:
        raise ImageError("unsupported", "Reading HEIC takes the extra `heic`: pip install 'attnimg[heic]'.")
    return format_


@contextmanager
def _decoding() -> Iterator[None]:
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", f"{error} Raise --max-pixels.") from error
    except UnidentifiedImageError as error:
        raise ImageError("damaged", "Its header is broken, or of a layout that is not read. Save it anew.") from error
    # A broken file can make a decoder raise anything.
    except Exception as error:
        # Of an OSError only the system's own have a number; EINVAL comes of seeking to where a broken header points.
        if isinstance(error, OSError) and error.errno not in (None, EINVAL):
            raise ImageError("unreadable", f"Reading it failed: {error.strerror}. Check the disk or the network.") from error
        raise ImageError("damaged", f"It cannot be decoded: {error}. Restore it from where it came.") from error


def _read_deep(stream: BinaryIO, image: Image.Image) -> NDArray[np.uint16] | None:
    """16-bit pixels, H x W or H x W x C in RGB order; None where 8 bits are all there is."""
    if image.mode in _GREY_16:
        return np.asarray(image).astype(np.uint16)
    if image.mode not in ("RGB", "RGBA") or _depth(stream, image) != 16:
        return None
    stream.seek(0)
    # Pillow's load has told already that the file is whole.
    pixels = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _depth(stream: BinaryIO, image: Image.Image) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return min(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,)))
    if image.format == "PNG":
        stream.seek(24)  # in IHDR, which comes first
        return stream.read(1)[0]
    return 8


def _colours(image: Image.Image, icc: bytes | None) -> tuple[Pixels, Pixels | None, str | None]:
    """8-bit sRGB pixels, alpha, note."""
    if image.mode not in _8_BIT:
        raise ImageError("unsupported", f"Its pixels are of the kind {image.mode}. Save it as 8 or 16 bit grey or RGB.")
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
    note = None
    if icc:
        try:
            image = to_srgb(image, icc)
        except ProfileError as error:
            note = f"its colour profile was ignored: {error}"
    return np.array(image.convert("RGB")), alpha, note


def _deep_colours(image: Image.Image, deep: NDArray[np.uint16], icc: bytes | None) -> tuple[Pixels, Pixels | None, str | None]:
    """16-bit sRGB pixels, alpha, note."""
    pixels, alpha, note = (deep, None) if deep.ndim == 2 else (deep[..., :3], deep[..., 3] if deep.shape[2] == 4 else None)
