"""Enhancement of video frames without flicker: exposure estimates are smoothed over time.

The smoothing is an exponential moving average over time, so it is independent of the frame rate. It is reset at abrupt
changes: at a cut, or when a light is switched on. During fades the average lags behind, so the gain is kept near the
frame's own estimate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from attnimg.images.pixels import Pixels
from attnimg.nets.enhancer.exposure import ExposureEstimate
from attnimg.predictors.enhance import Enhancer
from attnimg.predictors.restorer import Settings

TIME_CONSTANT = 1.0  # s, of the exponential moving average
CUT = 0.4  # mean difference of two frames at a cut, relative to their brightness; pans and lamp flicker stay below
MAX_LAG = 0.3  # of the average behind the frame's own estimate, in log gain; flicker stays below
DARK = 0.01  # lower bound on the brightness that differences are compared with: black frames are all noise


class TemporalEnhancer:
    """Enhances the frames of one video, in order."""

    def __init__(self, enhancer: Enhancer, settings: Settings) -> None:
        self._enhancer, self._settings = enhancer, settings
        self._average: ExposureEstimate | None = None
        self._colors: NDArray[np.float32] | None = None
        self._time = 0.0

    def __call__(self, pixels: Pixels, time: float) -> Pixels:
        """Enhance a frame, H x W x 3. time: time stamp in seconds. MemoryError: the device has too little memory."""
        thumbnail = self._enhancer.prepare(pixels).thumbnail
        estimate, _ = self._enhancer.restorer.estimate(thumbnail[None], self._settings)
        colors = thumbnail[..., :3]
        if self._average is not None and self._colors is not None and not is_cut(self._colors, colors):
            estimate = blend(self._average, estimate, max(0.0, time - self._time))
        self._average, self._colors, self._time = estimate, colors, time
        return self._enhancer.restore([pixels], estimate, self._settings)[0]


def blend(before: ExposureEstimate, now: ExposureEstimate, seconds: float) -> ExposureEstimate:
    """Return the moving average of exposure estimates, in float32: bfloat16 would round its small steps to zero.

    before: the average so far. seconds: time from `before` to `now`.
    """
    weight = 1 - math.exp(-seconds / TIME_CONSTANT)
    blended = ExposureEstimate(*(old.float().lerp(new.float(), weight) for old, new in zip(before, now, strict=True)))
    own = now.log_gain.float()
    return blended._replace(log_gain=own + (blended.log_gain - own).clamp(-MAX_LAG, MAX_LAG))


def is_cut(before: NDArray[np.float32], now: NDArray[np.float32]) -> bool:
    """Return whether a new scene begins. before, now: thumbnails of the frames, S x S x 3 in [0, 1]."""
    brightness = max(DARK, float(before.mean() + now.mean()) / 2)
    return float(np.abs(now - before).mean()) > CUT * brightness
