"""Read 16-bit pixels. Pillow keeps them in gray images only, and reduces others to 8 bits."""

from __future__ import annotations

from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    EXTRASAMPLES,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    ImageFileDirectory_v2,
    TiffImageFile,
)

from attnimg.images.pixels import row_bands

_WHITE_IS_ZERO = 0
_UNSIGNED = 1  # among SampleFormats
_PREMULTIPLIED = 1  # among ExtraSamples


def count_bits(image: Image.Image, head: bytes) -> int:
    """Return the bits per channel in the file; 8 for formats that have no others. head: the first bytes of the file."""
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITSPERSAMPLE, (1,))))
    return head[24] if image.format == "PNG" else 8


def has_unsupported_samples(stream: BinaryIO, head: bytes) -> bool:
    """Whether Pillow cannot open a TIFF because its samples are floats, signed, or of an unusual size.

    Raises the same errors as Pillow for a broken directory.
    """
    tags = ImageFileDirectory_v2(head[:16] if b"+" in head[2:4] else head[:8])
    stream.seek(tags.next)
    tags.load(stream)
    kinds, bits = tags.get(SAMPLEFORMAT, (_UNSIGNED,)), tags.get(BITSPERSAMPLE, (1,))
    return any(kind != _UNSIGNED for kind in kinds) or any(size not in (1, 2, 4, 8, 16) for size in bits)


def read_16bit(stream: BinaryIO, image: Image.Image) -> NDArray[np.uint16] | None:
    """Return H x W (gray), H x W x 3 or H x W x 4 pixels in RGB order; None if only 8 bits can be read.

    image: a PNG or TIFF of 16 bits that Pillow has loaded from the stream without an error. A TIFF is returned upright,
    as Pillow does; a PNG as stored.
    """
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint16)
        return ~gray if tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO else gray
    if image.mode not in ("RGB", "RGBA") or _PREMULTIPLIED in tags.get(EXTRASAMPLES, ()):
        return None
    stream.seek(0)
    if not tags:
        return _read_png(stream, image)
    pixels = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    order = cv2.COLOR_BGR2RGB if not image.has_transparency_data else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(pixels, order), np.uint16)


def _read_png(stream: BinaryIO, image: Image.Image) -> NDArray[np.uint16]:
    """Decode a second time, in the other byte order: Pillow then keeps the lower bytes instead of the upper ones.

    OpenCV would return both at once, but its libpng prints warnings.
    """
    key = np.array(image.info.get("transparency", ()), np.uint16)  # one fully transparent color
    pixels = np.empty((image.height, image.width, 4 if image.has_transparency_data else 3), np.uint16)
    with PngImageFile(stream, "") as again:
        # No order gives the lower bytes of gray with alpha. Read as four channels of 8 bits, it yields all bytes.
        other = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L", "LA;16B": "RGBA"}[str(again.tile[0].args)]
        again.tile = [again.tile[0]._replace(args=other)]
        again.load()
        for rows in row_bands(image.height, image.width):
            box = (0, rows.start, image.width, rows.stop)
            upper, lower = np.asarray(image.crop(box)), np.asarray(again.crop(box))
            if other == "RGBA":
                pixels[rows] = lower.view(">u2")[..., [0, 0, 0, 1]]
                continue
            codes = upper.astype(np.uint16) << 8 | lower
            pixels[rows, :, : codes.shape[2]] = codes
            if key.size:
                pixels[rows, :, 3] = np.where((codes == key).all(axis=2), 0, 65535)
    return pixels
