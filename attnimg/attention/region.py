"""Region attention: split into regions, weight every position inside its region, recombine.

    e_i = u . tanh(V x_i),    w = softmax(e) inside the region,    y_i = L w_i x_i        per head, over its channels

so that the mean of y over a region of L positions is A = sum_i w_i x_i. The score is that of attention pooling for
multiple-instance learning (Ilse et al. 2018, https://arxiv.org/abs/1802.04712). With one region, followed by a global
mean, it is attention pooling: its map is exactly the weight of each position in the pooled features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.attention.scale import to_fixed_scale


class RegionAttention(nn.Module):
    """Weights positions by a softmax within their region.

    channels: C of the input. heads: number of scores, each for C / heads channels. regions: number of regions along a
    side. hidden: width of the hidden layer of the scores. The scores start at zero, as uniform weights.
    """

    positional = True

    def __init__(self, channels: int, heads: int = 1, regions: int = 1, hidden: int = 64) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not split into {heads} heads")
        self.heads = heads
        self.regions = regions
        self.embed = nn.Conv2d(channels, hidden, 1)
        self.score = nn.Conv2d(hidden, heads, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def weights(self, x: Tensor) -> Tensor:
        """Return the weights, N x heads x H x W, summing to one inside each region."""
        e = self.score(torch.tanh(self.embed(x)))  # (N, heads, H, W)
        return self._softmax(e.float() if e.dtype in (torch.float16, torch.bfloat16) else e)

    def map(self, x: Tensor) -> Tensor:
        """Return the mean weights of the heads on the fixed scale, N x H x W; 0.5 is uniform within the region."""
        w = self.weights(x).mean(1)
        return to_fixed_scale(w * self._sizes(w), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the positions of x, N x C x H x W, so that the mean over each region is its weighted sum."""
        w = self.weights(x)
        return x * (w * self._sizes(w)).to(x.dtype).repeat_interleave(x.shape[1] // self.heads, 1)

    def _edges(self, length: int) -> list[tuple[int, int]]:
        parts = min(self.regions, length)
        return [(i * length // parts, (i + 1) * length // parts) for i in range(parts)]

    def _softmax(self, e: Tensor) -> Tensor:
        if self.regions == 1:
            return F.softmax(e.flatten(2), -1).reshape(e.shape)
        rows = []
        for top, bottom in self._edges(e.shape[2]):
            parts = [e[:, :, top:bottom, left:right] for left, right in self._edges(e.shape[3])]
            rows.append(torch.cat([F.softmax(p.flatten(2), -1).reshape(p.shape) for p in parts], 3))
        return torch.cat(rows, 2)

    def _sizes(self, w: Tensor) -> Tensor:
        """Return the number of positions in each position's region, H x W."""
        if self.regions == 1:
            return w.new_full((), w.shape[-2] * w.shape[-1])
        heights = w.new_tensor([bottom - top for top, bottom in self._edges(w.shape[-2]) for _ in range(bottom - top)])
        widths = w.new_tensor([right - left for left, right in self._edges(w.shape[-1]) for _ in range(right - left)])
        return heights[:, None] * widths
