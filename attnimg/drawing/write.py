"""Writing of drawings as PNG or JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.errors import ImageError
from attnimg.files.formats import DEFAULT_QUALITY
from attnimg.files.outputs import Output
from attnimg.files.write import write_bytes
from attnimg.images.backends import opencv_memory_errors

# Level 1 takes half the time of level 3, and files are hardly larger: filtered photos are close to noise.
_ENCODINGS = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, DEFAULT_QUALITY]}


def write_drawing(output: Output, pixels: NDArray[np.uint8]) -> None:
    """Write H x W x 3 RGB pixels as PNG or JPEG, by the output's extension (.png, .jpg).

    Raises MemoryError, and ImageError: as `put`, and write-failed if the format does not allow so many pixels.
    """
    extension = output.path.suffix.lower()
    size = f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
    refused = ImageError("write-failed", f"{output.path} cannot be encoded: {size} are too many. Scale the image down.")
    try:
        with opencv_memory_errors():
            done, data = cv2.imencode(extension, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _ENCODINGS[extension])
    except cv2.error as error:
        raise refused from error
    if not done:
        raise refused
    write_bytes(output, data.data)
