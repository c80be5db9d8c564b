"""Attention overlays: the attention map in color over the photo in gray.

The color map is viridis (S. van der Walt and N. Smith, 2015), which is perceptually uniform, also for color-blind
people. It is never stretched to an image, so overlays can be compared: teal is uniform attention, yellow more, violet
less. Parts of the photo outside all views of the net stay gray.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.images.backends import opencv_memory_errors
from attnimg.images.pixels import Pixels, to_uint8

OPACITY = 0.55  # more, and one no longer recognizes things in dark photos


@opencv_memory_errors()
def draw_overlay(pixels: Pixels, attention: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Draw an attention map over a photo.

    pixels: H x W x 3, RGB, 8 or 16 bits. attention: h x w of any size, in [0, 1]; NaN: outside all views.
    Returns H x W x 3, RGB, uint8. Raises MemoryError.
    """
    gray = cv2.cvtColor(cv2.cvtColor(to_uint8(pixels), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    seen = ~np.isnan(attention)
    size = (pixels.shape[1], pixels.shape[0])
    # Values and their weights are enlarged separately and then divided, so that NaN areas do not bleed into the rest.
    weight = _enlarge(seen, size)
    values = cv2.divide(_enlarge(np.where(seen, attention, 0), size), weight)
    codes = cv2.convertScaleAbs(np.maximum(values, 0), alpha=255)  # bicubic interpolation overshoots; this saturates
    colors = cv2.cvtColor(cv2.applyColorMap(codes, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
    overlay = cv2.addWeighted(colors, OPACITY, gray, 1 - OPACITY, 0)
    cv2.copyTo(gray, (weight < 0.5).astype(np.uint8), overlay)
    return np.asarray(overlay, np.uint8)


def _enlarge(grid: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(grid.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), np.float32)
