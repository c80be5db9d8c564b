"""Cut-outs of a photo with soft edges: their opacity, and a blurred background to put them on."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.images.backends import opencv_memory_errors
from attnimg.images.pixels import alpha_blend, row_bands

STEEPNESS = 2.0  # slope of opacity over probability; with a slope of 1, faint parts would look like dirt
BLUR_AT = 512  # pixels; longest side at which a background is blurred, as a blurred image needs no more
BLUR = 9.0  # pixels at that size; standard deviation


@opencv_memory_errors()
def find_alpha(inside: NDArray[np.bool_], share: NDArray[np.float32], reach: int) -> NDArray[np.uint8]:
    """Return the opacity of each pixel of a cut-out, H x W: at least 128 inside, at most 127 outside.

    inside: H x W. share: probability that a pixel is inside, H x W in [0, 1]. reach: width in pixels, on both sides of
    the edge, of the zone that may be translucent. Raises MemoryError.
    """
    bytes_ = inside.view(np.uint8)
    edge = cv2.morphologyEx(bytes_, cv2.MORPH_GRADIENT, np.ones((2 * reach + 1,) * 2, np.uint8))
    alpha: NDArray[np.uint8] = bytes_ * np.uint8(255)
    for rows in row_bands(*inside.shape):
        soft = np.rint(255 * np.clip((share[rows] - 0.5) * STEEPNESS + 0.5, 0, 1)).astype(np.uint8)
        soft = np.where(inside[rows], np.maximum(soft, 128), np.minimum(soft, 127))
        np.copyto(alpha[rows], soft, where=edge[rows] > 0)
    return alpha


@opencv_memory_errors()
def blur_background(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the blurred background of a photo, H x W x 3. alpha: opacity of the cut-out, H x W.

    The pixels of the cut-out are excluded from the blur, so that their colors leave no halo. Raises MemoryError.
    """
    height, width = alpha.shape
    shrink = min(1.0, BLUR_AT / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    around = alpha_blend(pixels, 255 - alpha, np.zeros(3, np.uint8))  # black inside the cut-out
    small = cv2.resize(around, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = cv2.resize(255 - alpha, size, interpolation=cv2.INTER_AREA)[..., None] / np.float32(255)
    blurred = _blur(small) / np.maximum(_blur(weight), 1e-3)  # opaque areas show no background
    small = np.clip(np.rint(blurred), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _blur(values: NDArray[np.float32]) -> NDArray[Any]:
    blurred: NDArray[Any] = cv2.GaussianBlur(values, (0, 0), BLUR, borderType=cv2.BORDER_REPLICATE)
    return blurred.reshape(values.shape)
