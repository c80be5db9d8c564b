"""Draw where a net looked: the photo in grey under the attention map in colour.

The scale is viridis (S. van der Walt and N. Smith, 2015), whose equal steps look equal, to colour-blind eyes as well.
It is never stretched per image, so that two overlays can be compared: teal is uniform attention, yellow more, violet
less. What no view of the net covered stays grey.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.images.encode import LONGEST
from attnimg.images.opencv import memory_errors
from attnimg.images.picture import Pixels, to_bytes

GAP = 8  # pixels of white between two pictures
_OPACITY = 0.55  # more, and one no longer recognises things in dark photos


@memory_errors()
def draw_beside(before: Pixels, after: Pixels) -> NDArray[np.uint8]:
    """Return two pictures of one size, H x W x 3 of 8 or 16 bits, side by side: H x (2 W + GAP) x 3 uint8."""
    gap = np.full((len(before), GAP, 3), 255, np.uint8)
    return np.hstack([to_bytes(before), gap, to_bytes(after)])


@memory_errors()
def fit_jpeg(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, H x W x 3, scaled down where its sides are longer than those that JPEG holds, else itself."""
    height, width = picture.shape[:2]
    scale = LONGEST["JPEG"] / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


@memory_errors()
def draw_overlay(pixels: Pixels, attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Lay a map over a photo.

    pixels: H x W x 3, RGB, 8 or 16 bits. attention: h x w of any size, in [0, 1]; NaN: not looked at.
    Returns H x W x 3, RGB, uint8. Raises MemoryError.
    """
    grey = cv2.cvtColor(cv2.cvtColor(to_bytes(pixels), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    seen = ~np.isnan(attention)
    size = (pixels.shape[1], pixels.shape[0])
    # Values and their weights are enlarged apart and then divided, so that what is unseen does not bleed into the rest.
    weight = _enlarge(seen, size)
    values = cv2.divide(_enlarge(np.where(seen, attention, 0), size), weight)
    codes = cv2.convertScaleAbs(np.maximum(values, 0), alpha=255)  # enlarging overshoots, this saturates
    colours = cv2.cvtColor(cv2.applyColorMap(codes, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    overlay = cv2.addWeighted(colours, _OPACITY, grey, 1 - _OPACITY, 0)
    cv2.copyTo(grey, (weight < 0.5).astype(np.uint8), overlay)
    return np.asarray(overlay, np.uint8)


def _enlarge(grid: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), np.float32)
