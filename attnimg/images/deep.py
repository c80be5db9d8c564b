"""Read 16-bit pixels. Pillow keeps those of grey images alone and drops RGB to 8 bits without a word; OpenCV does not."""

from __future__ import annotations

from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

# Of the file itself nothing is left to tell once Pillow has read it, and OpenCV would tell it between our own lines.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


def read_deep(stream: BinaryIO, image: Image.Image) -> NDArray[np.uint16] | None:
    """Return H x W (grey), H x W x 3 or H x W x 4 pixels in RGB order; None where 8 bits are all there is.

    image: what Pillow loaded from the stream without an error, so that the file is known to be whole.
    A TIFF comes upright, as it does from Pillow; a PNG as it stands in the file.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if image.mode not in ("RGB", "RGBA") or _depth(stream, image) != 16:
        return None
    stream.seek(0)
    pixels = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    order = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(pixels, order), np.uint16)


def _depth(stream: BinaryIO, image: Image.Image) -> int:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(min(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))))
    if image.format == "PNG":
        stream.seek(24)  # in IHDR, which comes first
        return stream.read(1)[0]
    return 8
