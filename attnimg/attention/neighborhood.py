"""Self-attention of which each position sees its neighborhood alone (Hassani et al. 2023, https://arxiv.org/abs/2204.07143).

    w = softmax over the S x S nearest positions of (q k^T / sqrt(d)),    y as of self-attention

At a border the neighborhood is moved inside, so that every position sees as many others. What was learnt on crops
holds on whole photos, where attention over everything would be spread over more positions than in training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnimg.attention.scale import to_fixed_scale
from attnimg.attention.self_attention import SelfAttention


class NeighborhoodAttention(SelfAttention):
    """Lets every position gather from those around it; maps of no more than S x S positions from all.

    span: S, positions along a side. Other arguments as in `SelfAttention`. The L x L mask takes memory, and L^2 scores
    are computed whatever S is: for quality, not for speed.
    """

    def __init__(self, channels: int, heads: int = 1, dim: int | None = None, span: int = 22) -> None:
        super().__init__(channels, heads, dim)
        self.span = span

    def _seen(self, x: Tensor) -> Tensor | None:
        if max(x.shape[2:]) <= self.span:
            return None  # the mask would be full, and the kernel slower with it
        rows, columns = (self._nearest(length, x.device) for length in x.shape[2:])
        return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2).flatten(0, 1)

    def _nearest(self, length: int, device: torch.device) -> Tensor:
        """Which positions (columns) each one (row) sees along a side."""
        place = torch.arange(length, device=device)
        first = (place - self.span // 2).clamp(0, max(0, length - self.span))[:, None]
        return (first <= place) & (place < first + self.span)

    def map(self, x: Tensor) -> Tensor:
        """Return what each position receives, N x H x W on the fixed scale; 0.5 is what uniform weights would give."""
        seen = self._seen(x)
        if seen is None:
            return super().map(x)
        uniform = (seen / seen.sum(1, keepdim=True)).mean(0)  # (L,): positions near a border are seen by fewer
        return to_fixed_scale(self.weights(x).mean((1, 2)), 1 / uniform).reshape(len(x), *x.shape[2:])
