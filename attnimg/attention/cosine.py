"""Self-attention by cosine similarity with a learned temperature (Swin v2, Liu et al. 2022, https://arxiv.org/abs/2111.09883).

    w = softmax(cos(q, k) / tau),    tau = exp(-min(t, ln 100)) >= 0.01,    t learned per head, ln 10 at first

The score is bounded for any length of q and k, so a few strong features cannot take all the attention.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.attention.self_attention import SelfAttention


class CosineAttention(SelfAttention):
    """Self-attention by cosine similarity. Arguments as for `SelfAttention`."""

    def __init__(self, channels: int, heads: int = 1, dim: int | None = None) -> None:
        super().__init__(channels, heads, dim)
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(10)))

    def _qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = super()._qkv(x)
        scale = self.logit_scale.clamp(max=math.log(100)).exp() * self.dim**0.5  # undoes the dot product's 1 / sqrt(d)
        # The default of 1e-12 is zero in fp16, and a black image would yield NaN.
        return F.normalize(q, dim=-1, eps=1e-6) * scale, F.normalize(k, dim=-1, eps=1e-6), v
