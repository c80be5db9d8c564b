"""Spatial attention: a gate per position, computed from its neighborhood.

    s = sigmoid(conv_k([mean_c(x); max_c(x)])),    y = s x

This is the second half of CBAM (Woo et al. 2018, https://arxiv.org/abs/1807.06521).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """Gates positions.

    channels: C of the input, not used, as only mean and maximum over channels enter. kernel: side of the neighborhood
    that determines a position's gate, odd.
    """

    positional = True

    def __init__(self, channels: int, kernel: int = 7) -> None:
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"a kernel of {kernel} has no center; give an odd one, such as {kernel + 1}")
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2)

    def weights(self, x: Tensor) -> Tensor:
        """Return the gates, N x 1 x H x W in (0, 1)."""
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)  # (N, 2, H, W)
        gate: Tensor = self.conv(both).sigmoid()
        return gate

    def map(self, x: Tensor) -> Tensor:
        """Return the gates, N x H x W."""
        return self.weights(x).squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the positions of x, N x C x H x W."""
        return x * self.weights(x)
