"""Polygons as pixels, by the even-odd rule."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from attnimg.masks.polygons import Ring


def fill(polygons: list[list[Ring]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Count the edges at the left of each pixel: inside it is odd."""
    crossings = np.zeros(shape, int)
    for ring in (ring for polygon in polygons for ring in polygon):
        for (x, y), (x2, y2) in pairwise(ring):
            if x == x2:
                crossings[min(y, y2) : max(y, y2), x:] += 1
    return crossings % 2 == 1
