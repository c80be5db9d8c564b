"""Self-attention by Euclidean distance (L2 attention, Kim et al. 2021, https://arxiv.org/abs/2006.04710).

    w = softmax(-|q - k|^2 / sqrt(d)) = softmax((2 q.k - |k|^2) / sqrt(d))

|q|^2 is the same for all keys of a query and cancels in the softmax. The rest is one dot product, [2q, 1].[k, -|k|^2],
so it runs through the fused kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from attnimg.attention.self_attention import SelfAttention

# Fused kernels need widths that are multiples of 8, so |k|^2 is spread over eight columns, exactly one eighth in each.
_COLUMNS = 8


class EuclideanAttention(SelfAttention):
    """Self-attention by Euclidean distance. Arguments as for `SelfAttention`."""

    def _qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super()._qkv(x)
        q = F.pad(2 * q, (0, _COLUMNS), value=1.0)
        eighth = k.square().sum(-1, keepdim=True) / -_COLUMNS  # (N, heads, L, 1)
        return q, torch.cat([k, eighth.expand(*k.shape[:-1], _COLUMNS)], -1), v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        # Fused kernels need v as wide as q and k.
        return super()._attend(q, k, F.pad(v, (0, _COLUMNS)), mask)[..., : self.dim]
