"""Metrics of enhancers: photos are added one by one, and (name, value) pairs are yielded at the end.

With ground truth: PSNR and SSIM of the 8-bit photos as they are written. They are never matched to the brightness of
the truth, as that would hide the most visible error. Without it: PIQE before and after, which measures noise and
compression artifacts, but not brightness.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.errors import Unavailable
from attnimg.images.backends import opencv_memory_errors
from attnimg.images.pixels import Pixels, to_uint8

MOST_PSNR = 120.0  # dB, also of identical photos
WINDOW, SIGMA = (11, 11), 1.5
C1, C2 = 0.01**2, 0.03**2  # of SSIM, for values in [0, 1]


class PhotoMetrics:
    """Scores of photos, and their means. `rows` holds the scores of each photo by name, in order."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    @property
    def images(self) -> int:
        """Number of photos that were added."""
        return len(self.rows)

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield the mean of each score over the photos. ValueError: no photos were added."""
        if not self.rows:
            raise ValueError("There are no images to measure; call update first.")
        for name in self.rows[0]:
            yield name, sum(row[name] for row in self.rows) / len(self.rows)


class EnhancementMetrics(PhotoMetrics):
    """Compares photos with their ground truth.

    psnr: in dB. ssim: at most 1. brightness_error: absolute difference of the means, in [0, 1].
    """

    def update(self, output: Pixels, truth: Pixels) -> None:
        """Add a photo. output, truth: H x W x 3, uint8 or uint16."""
        a, b = to_uint8(output), to_uint8(truth)
        brightness_error = abs(a.mean(dtype=np.float64) - b.mean(dtype=np.float64)) / 255
        self.rows.append({"psnr": psnr(a, b), "ssim": ssim(a, b), "brightness_error": float(brightness_error)})


class NoReferenceMetrics(PhotoMetrics):
    """Scores photos before and after by PIQE, 0 (best) to 100. Unavailable: pypiqe is not installed.

    Venkatanath et al. 2015, Blind Image Quality Evaluation Using Perception Based Features
    (https://doi.org/10.1109/NCC.2015.7084843).
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from pypiqe import piqe
        except ImportError as error:
            raise Unavailable(
                "Measuring photos without low/ and normal/ needs pypiqe. "
                "Install it with: pip install 'attnimg[quality]'"
            ) from error
        self._piqe = piqe

    def update(self, before: Pixels, after: Pixels) -> None:
        """Add a photo and its enhanced version, H x W x 3, uint8 or uint16."""
        self.rows.append({"piqe_before": self._score(before), "piqe_after": self._score(after)})

    def _score(self, pixels: Pixels) -> float:
        # For a black photo it divides 0 by 0, and still returns the worst score.
        with np.errstate(invalid="ignore"):
            return float(self._piqe(np.ascontiguousarray(to_uint8(pixels)[..., ::-1]))[0])


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of two photos in dB, at most `MOST_PSNR`."""
    return min(MOST_PSNR, cv2.PSNR(a, b))


@opencv_memory_errors()
def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two photos, H x W x 3 (Wang et al. 2004), the mean over the channels.

    A Gaussian window is laid around every pixel; at the border the photo is mirrored with the edge repeated. (Kornia
    does not repeat it, a difference of up to 0.004 in a photo of 24 x 24 pixels; torchmetrics ignores the border.)
    """
    # One channel at a time, as each needs ten float32 maps.
    return float(np.mean([_ssim_map(a[..., c], b[..., c]).mean(dtype=np.float64) for c in range(a.shape[2])]))


def _ssim_map(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[Any]:
    x, y = a.astype(np.float32) / 255, b.astype(np.float32) / 255
    mean_x, mean_y = _blur(x), _blur(y)
    xx, yy, xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variances, covariance = _blur(x * x) - xx + _blur(y * y) - yy, _blur(x * y) - xy
    similarity: NDArray[Any] = (2 * xy + C1) * (2 * covariance + C2) / ((xx + yy + C1) * (variances + C2))
    return similarity


def _blur(x: NDArray[Any]) -> NDArray[Any]:
    blurred: NDArray[Any] = cv2.GaussianBlur(x, WINDOW, SIGMA, borderType=cv2.BORDER_REFLECT)
    return blurred
