"""Attention gate: a deeper map weights the positions of a skip connection.

    s = sigmoid(psi . relu(W_x x + W_g g)),    y = s x

Oktay et al. 2018 (Attention U-Net), https://arxiv.org/abs/1804.03999. They resample x to the grid of g. Here g is
resampled to the grid of x, so that the gate has the resolution of the map that it weights.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class AttentionGate(nn.Module):
    """Gates positions by a second, usually coarser map.

    channels: C of the input. gate_channels: channels of the gating map (default C). hidden: channels of the space in
    which the two are added (default C / 2).
    """

    positional = True

    def __init__(self, channels: int, gate_channels: int | None = None, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or max(1, channels // 2)
        self.input = nn.Conv2d(channels, hidden, 1, bias=False)
        self.gate = nn.Conv2d(gate_channels or channels, hidden, 1)
        self.score = nn.Conv2d(hidden, 1, 1)

    def weights(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Return the gates, N x 1 x H x W in (0, 1). gate: N x gate_channels, any size; without it x gates itself."""
        g = self.gate(x if gate is None else gate)
        if g.shape[2:] != x.shape[2:]:
            # Bilinear weights sum to one, so the 1 x 1 convolution can run first, on the smaller map.
            g = F.interpolate(g, x.shape[2:], mode="bilinear", align_corners=False)
        s: Tensor = self.score(self.input(x).add_(g).relu_()).sigmoid_()
        return s

    def map(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Return the gates, N x H x W."""
        return self.weights(x, gate).squeeze(1)

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Weight the positions of x, N x C x H x W. gate: as in `weights`."""
        return x * self.weights(x, gate)
