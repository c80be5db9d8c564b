"""Two pictures of one size beside each other, and pictures that fit into JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.files.formats import FORMATS
from attnimg.images.backends import opencv_memory_errors
from attnimg.images.pixels import Pixels, to_uint8

GAP = 8  # pixels of white between two pictures


@opencv_memory_errors()
def draw_side_by_side(before: Pixels, after: Pixels) -> NDArray[np.uint8]:
    """Return two pictures of one size, H x W x 3 of 8 or 16 bits, side by side: H x (2 W + GAP) x 3 uint8."""
    gap = np.full((len(before), GAP, 3), 255, np.uint8)
    return np.hstack([to_uint8(before), gap, to_uint8(after)])


@opencv_memory_errors()
def fit_jpeg(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, H x W x 3, scaled down where its sides are longer than those that JPEG holds, else itself."""
    height, width = picture.shape[:2]
    scale = FORMATS["JPEG"].longest / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
