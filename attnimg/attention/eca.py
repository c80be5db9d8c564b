"""Efficient channel attention: squeeze-and-excitation without a bottleneck.

    s = sigmoid(conv1d_k(mean_hw(x))) along the channels,    y = s x,    k = odd(log2(C) / 2 + 1 / 2)

Wang et al. 2020, https://arxiv.org/abs/1910.03151; odd(t) is t truncated to an integer, plus one if that is even.
"""

from __future__ import annotations

import math

from torch import Tensor, nn


class ECA(nn.Module):
    """Gates each channel by the means of its k nearest channels.

    channels: C of the input; it determines k, which is also the number of parameters.
    """

    positional = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        k = int(math.log2(channels) / 2 + 1 / 2)
        k += 1 - k % 2
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def weights(self, x: Tensor) -> Tensor:
        """Return the gates, N x C x 1 x 1 in (0, 1)."""
        s = x.mean((2, 3)).unsqueeze(1)  # (N, 1, C)
        gate: Tensor = self.conv(s).sigmoid()
        return gate.transpose(1, 2).unsqueeze(-1)

    def map(self, x: Tensor) -> Tensor:
        """Return the gates, N x C."""
        return self.weights(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of x, N x C x H x W."""
        return x * self.weights(x)
