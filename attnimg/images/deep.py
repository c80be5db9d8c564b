"""Read 16-bit pixels. Pillow keeps them in grey images only and drops RGB to 8 bits unasked; OpenCV does not."""

from __future__ import annotations

import zlib
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    EXTRASAMPLES,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    ImageFileDirectory_v2,
    TiffImageFile,
)

_WHITE_IS_ZERO = 0
_UNSIGNED = 1  # among SampleFormats
_PREMULTIPLIED = 1  # among ExtraSamples
_PIXEL_CHUNKS = (b"IHDR", b"tRNS", b"IDAT")
_END = b"\0\0\0\0IEND\xaeB`\x82"


def count_bits(image: Image.Image, head: bytes) -> int:
    """Bits of a channel in the file, whose first bytes are `head`; 8 for formats that are read at 8 bits anyway."""
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITSPERSAMPLE, (1,))))
    return head[24] if image.format == "PNG" else 8


def has_odd_samples(stream: BinaryIO, head: bytes) -> bool:
    """Tell of a TIFF that Pillow does not know whether that is for its samples: floats, signed, or of odd sizes.

    Raises what Pillow does on a directory that is broken.
    """
    tags = ImageFileDirectory_v2(head[:16] if b"+" in head[2:4] else head[:8])
    stream.seek(tags.next)
    tags.load(stream)
    kinds, bits = tags.get(SAMPLEFORMAT, (_UNSIGNED,)), tags.get(BITSPERSAMPLE, (1,))
    return any(kind != _UNSIGNED for kind in kinds) or any(size not in (1, 2, 4, 8, 16) for size in bits)


def read_deep(stream: BinaryIO, image: Image.Image) -> NDArray[np.uint16] | None:
    """Return H x W (grey), H x W x 3 or H x W x 4 pixels in RGB order; None where 8 bits are all that can be had.

    image: a PNG or TIFF of 16 bits that Pillow loaded from the stream without an error: it is known to be whole.
    A TIFF comes upright, as it does from Pillow; a PNG as it stands in the file.
    """
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint16)
        return ~grey if tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO else grey
    if image.mode not in ("RGB", "RGBA") or _PREMULTIPLIED in tags.get(EXTRASAMPLES, ()):
        return None
    stream.seek(0)
    data = stream.read() if tags else _strip(stream.read())
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    order = cv2.COLOR_BGR2RGB if not image.has_transparency_data else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(pixels, order), np.uint16)


def _strip(png: bytes) -> bytes:
    """Leave the chunks that hold pixels, made whole: libpng prints of odd profiles and of checksums cut off."""
    kept, at = [png[:8]], 8
    while at < len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] in _PIXEL_CHUNKS:
            kept += [png[at:end], zlib.crc32(png[at + 4 : end]).to_bytes(4, "big")]
        at = end + 4
    return b"".join([*kept, _END])
