"""Polygons of a mask, along the edges of its pixels."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.images.backends import opencv_memory_errors

Ring = list[list[int]]
"""A closed ring of corners [x, y], in pixels from the upper left corner, y downwards; the last equals the first."""


@opencv_memory_errors()
def trace(inside: NDArray[np.bool_]) -> Iterator[list[Ring]]:
    """Yield a polygon for each 4-connected region: its outer ring, then its holes.

    inside: H x W. Rings run along the pixels' edges, so the polygons cover exactly the pixels inside. The area by the
    shoelace formula is positive for outer rings, and negative for holes (RFC 7946, 3.1.6). Raises MemoryError.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside.view(np.uint8), connectivity=4)
    for region in range(1, count):
        left, top, width, height = stats[region, :4].tolist()
        part = (labels[top : top + height, left : left + width] == region).view(np.uint8)
        # OpenCV's contours run through pixel centers. In the doubled image they run along both sides of each edge, and
        # halving gives the edges: of columns 2x and 2x + 1, the first becomes x, the second x + 1.
        doubled = part.repeat(2, 0).repeat(2, 1)
        contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
        holes_last = sorted(zip(contours, tree[0], strict=True), key=lambda pair: pair[1][3] >= 0)
        yield [_close((contour[::-1, 0] + 1) // 2 + (left, top)) for contour, _ in holes_last]


def _close(corners: NDArray[np.integer]) -> Ring:
    distinct = corners[np.diff(corners, axis=0, append=corners[:1]).any(1)]
    return [*distinct.tolist(), distinct[0].tolist()]
