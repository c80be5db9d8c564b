"""Squeeze-and-excitation: a gate per channel, computed from the global mean.

    s = sigmoid(W2 relu(W1 mean_hw(x))),    y = s x

Hu et al. 2018, https://arxiv.org/abs/1709.01507.
"""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcitation(nn.Module):
    """Gates channels by their global means.

    channels: C of the input. reduction: C / reduction is the width of the bottleneck (at least 8).
    """

    positional = False

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def weights(self, x: Tensor) -> Tensor:
        """Return the gates, N x C x 1 x 1 in (0, 1)."""
        s = x.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        s = self.squeeze(s).relu()  # (N, C/r, 1, 1)
        gate: Tensor = self.excite(s).sigmoid()
        return gate

    def map(self, x: Tensor) -> Tensor:
        """Return the gates, N x C."""
        return self.weights(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels of x, N x C x H x W."""
        return x * self.weights(x)
