"""The fixed scale of attention maps: 0.5 is uniform attention, for any number of positions."""

from __future__ import annotations

from torch import Tensor


def to_fixed_scale(weights: Tensor, positions: float | Tensor) -> Tensor:
    """Map weights that sum to one over L positions to w / (w + 1/L).

    weights: any shape, values in [0, 1]. positions: L, one for all weights or one for each. Returns the same shape in
    [0, 1); 0.5 where w = 1/L. The scale does not depend on the image, so maps of two images can be compared.
    """
    return weights / (weights + 1 / positions)
