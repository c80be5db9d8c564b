"""Self-attention of each position to its neighborhood only (Hassani et al. 2023, https://arxiv.org/abs/2204.07143).

    w = softmax over the S x S nearest positions of (q k^T / sqrt(d)),    y as of self-attention

At a border the neighborhood is moved inside, so that all have the same size. A net trained on crops thereby works on
whole photos too, where global attention would be spread over more positions than in training.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attnimg.attention.scale import to_fixed_scale
from attnimg.attention.self_attention import SelfAttention


class NeighborhoodAttention(SelfAttention):
    """Self-attention within S x S positions. On smaller maps it is global.

    span: S, positions along a side. Other arguments as for `SelfAttention`. The L x L mask takes memory, and L^2 scores
    are computed for any S: the aim is quality, not speed.
    """

    def __init__(self, channels: int, heads: int = 1, dim: int | None = None, span: int = 22) -> None:
        super().__init__(channels, heads, dim)
        self.span = span

    def _mask(self, x: Tensor) -> Tensor | None:
        if max(x.shape[2:]) <= self.span:
            return None  # a mask of ones would only slow the kernel down
        rows, columns = (self._nearest(length, x.device) for length in x.shape[2:])
        return (rows[:, None, :, None] & columns[None, :, None, :]).flatten(2).flatten(0, 1)

    def _nearest(self, length: int, device: torch.device) -> Tensor:
        """Return the mask along one side: the positions (columns) that each position (row) attends to."""
        place = torch.arange(length, device=device)
        first = (place - self.span // 2).clamp(0, max(0, length - self.span))[:, None]
        return (first <= place) & (place < first + self.span)

    def map(self, x: Tensor) -> Tensor:
        """Return the attention that each position receives, N x H x W on the fixed scale; 0.5 for uniform weights."""
        mask = self._mask(x)
        if mask is None:
            return super().map(x)
        uniform = (mask / mask.sum(1, keepdim=True)).mean(0)  # (L,); fewer positions attend to those near a border
        return to_fixed_scale(self.weights(x).mean((1, 2)), 1 / uniform).reshape(len(x), *x.shape[2:])
