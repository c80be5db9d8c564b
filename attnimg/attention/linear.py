"""Efficient attention, at a cost linear in the number of positions (Shen et al. 2021, https://arxiv.org/abs/1812.01243).

    y = x + P (softmax_d(q) (softmax_L(k)^T v))    per head; softmax_L over positions, softmax_d over channels

Each of the d channels of k is one attention over the whole image; q weights these d attentions at each position. The
L x L matrix softmax_d(q) softmax_L(k)^T, whose rows sum to one, is never formed, so large maps are possible.
"""

from __future__ import annotations

from torch import Tensor

from attnimg.attention.self_attention import SelfAttention


class LinearAttention(SelfAttention):
    """Self-attention for large maps. Arguments as for `SelfAttention`."""

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention of each channel of k over all positions, N x heads x dim x L; rows sum to one."""
        _, k, _ = self._qkv(x)
        return k.transpose(-1, -2).softmax(-1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        context = k.softmax(-2).transpose(-1, -2) @ v  # (N, heads, dim, dim)
        return q.softmax(-1) @ context
