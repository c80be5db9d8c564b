"""What an enhancer is worth: fed photo after photo, it yields (name, value) at the end.

Beside the truth: PSNR and SSIM of the 8-bit photos as they are written, never matched to the truth's brightness, for
that would hide the error that is seen first. Without it: PIQE before and after, which tells of noise and of what
compression leaves, and is blind to brightness.
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

MOST_PSNR = 120.0  # dB, also of a photo that is its truth
WINDOW, SIGMA = (11, 11), 1.5
C1, C2 = 0.01**2, 0.03**2  # of SSIM, for values in [0, 1]


class PhotoMetrics:
    """Scores of photos and their means. `rows` holds one mapping of name to value per photo, in order."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    @property
    def images(self) -> int:
        """How many photos were seen."""
        return len(self.rows)

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield each score's mean over the photos. ValueError: no photos were seen."""
        if not self.rows:
            raise ValueError("There is nothing to say about no images: feed update first.")
        for name in self.rows[0]:
            yield name, sum(row[name] for row in self.rows) / len(self.rows)


class EnhancementMetrics(PhotoMetrics):
    """Compares photos with their truth.

    psnr: in dB. ssim: at most 1. brightness_error: difference of the two means, in [0, 1].
    """

    def update(self, output: Pixels, truth: Pixels) -> None:
        """Add a photo. Both: H x W x 3, uint8 or uint16."""
        a, b = to_uint8(output), to_uint8(truth)
        brightness_error = abs(a.mean(dtype=np.float64) - b.mean(dtype=np.float64)) / 255
        self.rows.append({"psnr": psnr(a, b), "ssim": ssim(a, b), "brightness_error": float(brightness_error)})


class NoReferenceMetrics(PhotoMetrics):
    """Scores photos before and after, without a truth: PIQE, 0 (best) to 100. Unavailable: pypiqe is not installed.

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
        """Add a photo and what was made of it, H x W x 3, uint8 or uint16."""
        self.rows.append({"piqe_before": self._score(before), "piqe_after": self._score(after)})

    def _score(self, pixels: Pixels) -> float:
        # A black photo makes it divide nothing by nothing, and has the worst score all the same.
        with np.errstate(invalid="ignore"):
            return float(self._piqe(np.ascontiguousarray(to_uint8(pixels)[..., ::-1]))[0])


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio of two photos in dB, at most `MOST_PSNR`."""
    return min(MOST_PSNR, cv2.PSNR(a, b))


@opencv_memory_errors()
def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two photos, H x W x 3: Wang et al. 2004, each channel by itself.

    A Gaussian window around every pixel, the photo mirrored at its border with the edge repeated. (Kornia's
    does not repeat it: up to 0.004 of difference in a photo of 24 x 24 pixels. torchmetrics' leaves the border out.)
    """
    # By channel, for each takes ten maps of float32 at once.
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
