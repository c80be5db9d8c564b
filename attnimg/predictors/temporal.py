"""Frames of a video, enhanced so that nothing flickers: what the net sees of each is blended with what it saw before.

The blend is an exponential moving average by time, so that it is the same at every frame rate, and begins anew where
the picture changes abruptly: at a cut, or when the light is switched on. Where a scene fades in or out, its gain stays
near what each frame by itself would have, as the average lags behind.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from attnimg.images.pixels import Pixels
from attnimg.nets.enhancer.exposure import ExposureEstimate
from attnimg.predictors.enhance import Enhancer
from attnimg.predictors.restorer import Settings

TIME_CONSTANT = 1.0  # after which a sight still counts for 1/e
CUT = 0.4  # of its mean brightness that a frame may differ from the one before; pans and a lamp's flicker stay below
MAX_LAG = 0.3  # by which the logarithm of a gain may differ from the frame's own; flicker stays below
DARK = 0.01  # mean brightness that counts as at least there, for in black all is noise


class TemporalEnhancer:
    """Enhances the frames of one video, in their order."""

    def __init__(self, enhancer: Enhancer, settings: Settings) -> None:
        self._enhancer, self._settings = enhancer, settings
        self._average: ExposureEstimate | None = None
        self._colors: NDArray[np.float32] | None = None
        self._time = 0.0

    def __call__(self, pixels: Pixels, time: float) -> Pixels:
        """Return a frame, H x W x 3, enhanced. time: in seconds. MemoryError: the device has too little."""
        thumbnail = self._enhancer.prepare(pixels).thumbnail
        estimate, _ = self._enhancer.restorer.estimate(thumbnail[None], self._settings)
        colors = thumbnail[..., :3]
        if self._average is not None and self._colors is not None and not is_cut(self._colors, colors):
            estimate = blend(self._average, estimate, max(0.0, time - self._time))
        self._average, self._colors, self._time = estimate, colors, time
        return self._enhancer.restore([pixels], estimate, self._settings)[0]


def blend(before: ExposureEstimate, now: ExposureEstimate, seconds: float) -> ExposureEstimate:
    """Return the moving average of what was seen, in floats: bfloat16 would round its small steps away.

    seconds: from `before`, the average so far, to `now`.
    """
    weight = 1 - math.exp(-seconds / TIME_CONSTANT)
    blended = ExposureEstimate(*(old.float().lerp(new.float(), weight) for old, new in zip(before, now, strict=True)))
    own = now.log_gain.float()
    return blended._replace(log_gain=own + (blended.log_gain - own).clamp(-MAX_LAG, MAX_LAG))


def is_cut(before: NDArray[np.float32], now: NDArray[np.float32]) -> bool:
    """Tell whether another scene begins. before, now: the frames' small copies, S x S x 3 in [0, 1]."""
    brightness = max(DARK, float(before.mean() + now.mean()) / 2)
    return float(np.abs(now - before).mean()) > CUT * brightness
