"""Read 16-bit pixels, which Pillow keeps in gray images only, and drops to 8 bits in others unasked."""

from __future__ import annotations

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

from attnimg.images.pixels import row_bands

_WHITE_IS_ZERO = 0
_UNSIGNED = 1  # among SampleFormats
_PREMULTIPLIED = 1  # among ExtraSamples


def count_bits(image: Image.Image, head: bytes) -> int:
    """Bits of a channel in the file, whose first bytes are `head`; 8 for formats that are read at 8 bits anyway."""
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITSPERSAMPLE, (1,))))
    return head[24] if image.format == "PNG" else 8


def has_unsupported_samples(stream: BinaryIO, head: bytes) -> bool:
    """Tell whether Pillow does not know a TIFF because of its samples: floats, signed, or of odd sizes.

    Raises what Pillow does on a directory that is broken.
    """
    tags = ImageFileDirectory_v2(head[:16] if b"+" in head[2:4] else head[:8])
    stream.seek(tags.next)
    tags.load(stream)
    kinds, bits = tags.get(SAMPLEFORMAT, (_UNSIGNED,)), tags.get(BITSPERSAMPLE, (1,))
    return any(kind != _UNSIGNED for kind in kinds) or any(size not in (1, 2, 4, 8, 16) for size in bits)


def read_16bit(stream: BinaryIO, image: Image.Image) -> NDArray[np.uint16] | None:
    """Return H x W (gray), H x W x 3 or H x W x 4 pixels in RGB order; None where 8 bits are all that can be had.

    image: a PNG or TIFF of 16 bits that Pillow loaded from the stream without an error: it is known to be whole.
    A TIFF comes upright, as it does from Pillow; a PNG as it stands in the file.
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
    """Add the lower bytes, which Pillow leaves out, by decoding once more as if bytes stood in the other order.

    OpenCV would have all of them at once, but the libpng in it prints of whatever is odd.
    """
    key = np.array(image.info.get("transparency", ()), np.uint16)  # a color that is clear all over
    pixels = np.empty((image.height, image.width, 4 if image.has_transparency_data else 3), np.uint16)
    with Image.open(stream, formats=("PNG",)) as again:
        # Of gray with alpha no order gives the lower bytes; taken for four channels, all its bytes come out.
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
