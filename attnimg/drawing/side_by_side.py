"""Comparisons of two images side by side, and images that fit into JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.files.formats import FORMATS
from attnimg.images.backends import opencv_memory_errors
from attnimg.images.pixels import Pixels, to_uint8

GAP = 8  # pixels of white between two images


@opencv_memory_errors()
def draw_side_by_side(before: Pixels, after: Pixels) -> NDArray[np.uint8]:
    """Return two images of one size, H x W x 3 of 8 or 16 bits, side by side: H x (2 W + GAP) x 3 uint8."""
    gap = np.full((len(before), GAP, 3), 255, np.uint8)
    return np.hstack([to_uint8(before), gap, to_uint8(after)])


@opencv_memory_errors()
def fit_jpeg(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image, H x W x 3, scaled down if its sides are longer than JPEG allows, else itself."""
    height, width = pixels.shape[:2]
    scale = FORMATS["JPEG"].longest / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
