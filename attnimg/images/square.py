"""Crop squares for nets with square inputs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.images.pixels import Pixels, to_uint8


def crop_square(pixels: Pixels, size: int, position: float = 0.5) -> NDArray[np.uint8]:
    """Crop the largest square and scale it to size x size x 3, uint8.

    position: place of the square along the longer side, 0 to 1. Scaling down averages areas, as is usual for data sets;
    scaling up is cubic.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = round(position * (height - side)), round(position * (width - side))
    square: NDArray[Any] = pixels[top : top + side, left : left + side]
    if side != size:
        square = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)
    return np.ascontiguousarray(to_uint8(square))
