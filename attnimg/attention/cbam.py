"""Convolutional block attention: a gate per channel, then one per position (Woo et al. 2018, https://arxiv.org/abs/1807.06521).

    c = sigmoid(mlp(mean_hw(x)) + mlp(max_hw(x))),    mlp(z) = W2 relu(W1 z)
    sequential: y = s(c x) c x,    parallel: y = s(x) c x,    s the gate of `spatial`

The paper compares both arrangements and finds the sequential one better; it is the default.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnimg.attention.spatial import SpatialAttention


class CBAM(SpatialAttention):
    """Gates channels and positions.

    channels: C of the input. reduction: C / reduction is the width of the bottleneck (at least 8). kernel: side of the
    neighborhood that determines a position's gate, odd. parallel: whether both gates are computed from x; otherwise
    the spatial gate is computed from the output of the channel gate.
    """

    def __init__(self, channels: int, reduction: int = 16, kernel: int = 7, parallel: bool = False) -> None:
        super().__init__(channels, kernel)
        hidden = max(8, channels // reduction)
        self.mlp = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.parallel = parallel

    def _gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        channel = (self.mlp(mean) + self.mlp(peak)).sigmoid()  # (N, C, 1, 1)
        return channel, super().weights(x if self.parallel else x * channel)

    def weights(self, x: Tensor) -> Tensor:
        """Return the product of both gates, N x C x H x W in (0, 1)."""
        channel, spatial = self._gates(x)
        return channel * spatial

    def map(self, x: Tensor) -> Tensor:
        """Return the spatial gates, N x H x W."""
        return self._gates(x)[1].squeeze(1)
