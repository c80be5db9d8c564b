"""Coordinate attention: gates per channel and row, and per channel and column (Hou et al. 2021, https://arxiv.org/abs/2103.02907).

    f = hardswish(W1 [mean_w(x); mean_h(x)]),    s_h = sigmoid(W_h f_h),    s_w = sigmoid(W_w f_w),    y = s_h s_w x

A row's gate depends on the whole row, a column's on the whole column: long range in both directions at the cost of two
vectors. The batch norm of the authors' code in f is omitted, so that an image's attention depends on that image alone,
in training too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CoordinateAttention(nn.Module):
    """Gates rows and columns.

    channels: C of the input. reduction: C / reduction is the width of the bottleneck (at least 8).
    """

    positional = True

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.rows = nn.Conv2d(hidden, channels, 1)
        self.columns = nn.Conv2d(hidden, channels, 1)

    def weights(self, x: Tensor) -> Tensor:
        """Return the product of the gates of row and column, N x C x H x W in (0, 1)."""
        h = x.shape[2]
        means = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2)  # (N, C, H + W, 1)
        f = F.hardswish(self.squeeze(means))  # (N, C/r, H + W, 1)
        row = self.rows(f[:, :, :h]).sigmoid()  # (N, C, H, 1)
        column = self.columns(f[:, :, h:].transpose(2, 3)).sigmoid()  # (N, C, 1, W)
        gate: Tensor = row * column
        return gate

    def map(self, x: Tensor) -> Tensor:
        """Return the gates' mean over the channels, N x H x W."""
        return self.weights(x).mean(1)

    def forward(self, x: Tensor) -> Tensor:
        """Weight every value of x, N x C x H x W."""
        return x * self.weights(x)
