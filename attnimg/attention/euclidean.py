"""Self-attention by Euclidean distance (L2 attention, Kim et al. 2021, https://arxiv.org/abs/2006.04710).

    w = softmax(-|q - k|^2 / sqrt(d)) = softmax((2 q.k - |k|^2) / sqrt(d))

|q|^2 is the same for all keys of a query, so softmax drops it; the rest is one dot product, [2q, 1].[k, -|k|^2], and
runs through the fused kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from attnimg.attention.self_attention import SelfAttention

# Fused kernels want widths that are multiples of 8: |k|^2 is spread over eight columns, one eighth (exactly) in each.
_COLUMNS = 8


class EuclideanAttention(SelfAttention):
    """Self-attention that compares by distance. Arguments as in `SelfAttention`."""

    def _qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super()._qkv(x)
        q = F.pad(2 * q, (0, _COLUMNS), value=1.0)
        eighth = k.square().sum(-1, keepdim=True) / -_COLUMNS  # (N, heads, L, 1)
        return q, torch.cat([k, eighth.expand(*k.shape[:-1], _COLUMNS)], -1), v

    def _gather(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
        # Fused kernels want v as wide as q and k.
        return super()._gather(q, k, F.pad(v, (0, _COLUMNS)), seen)[..., : self.dim]
