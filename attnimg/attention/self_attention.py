"""Self-attention over positions by scaled dot products (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).

    w = softmax(q k^T / sqrt(d)),    y = x + P (w v)        per head, over the L = H W positions

The residual form and its use in a CNN follow non-local networks (Wang et al. 2018, https://arxiv.org/abs/1711.07971).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.attention.scale import to_fixed_scale


class SelfAttention(nn.Module):
    """Multi-head self-attention over all positions.

    channels: C of the input. heads: number of independent attentions. dim: width of one head (default C / heads).
    The weights of the output projection start at zero, so a new module adds only a bias and a deep net trains from the
    first step. The fused kernel needs channels-last input; for other layouts torch forms the L x L matrix.
    """

    positional = True

    def __init__(self, channels: int, heads: int = 1, dim: int | None = None) -> None:
        super().__init__()
        if dim is None and channels % heads:
            raise ValueError(f"{channels} channels do not split into {heads} heads; give dim=")
        self.heads = heads
        self.dim = dim or channels // heads
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * heads * self.dim, 1, bias=False)
        self.project = nn.Conv2d(heads * self.dim, channels, 1)
        nn.init.zeros_(self.project.weight)

    def _qkv(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, _, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(n, 3, self.heads, self.dim, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)  # each (N, heads, L, dim)
        return q, k, v

    def _mask(self, x: Tensor) -> Tensor | None:
        """Return the keys (columns) that each query (row) attends to, L x L; None: all."""
        return None

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask, scale=self.dim**-0.5)

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention of each query (row) over all keys, N x heads x L x L; rows sum to one."""
        q, k, _ = self._qkv(x)
        score: Tensor = q @ k.transpose(-1, -2) * self.dim**-0.5
        if (mask := self._mask(x)) is not None:
            score = score.masked_fill(~mask, -torch.inf)
        return score.softmax(-1)

    def map(self, x: Tensor) -> Tensor:
        """Return the attention that each position receives, mean of heads and queries, N x H x W on the fixed scale."""
        n, _, h, w = x.shape
        received = self.weights(x).mean((1, 2)).reshape(n, h, w)
        return to_fixed_scale(received, h * w)

    def forward(self, x: Tensor) -> Tensor:
        """Add the attention output to x, N x C x H x W."""
        n, _, h, w = x.shape
        y = self._attend(*self._qkv(x), self._mask(x))  # (N, heads, L, dim)
        y = y.transpose(-1, -2).reshape(n, self.heads * self.dim, h, w)
        out: Tensor = x + self.project(y)
        return out
