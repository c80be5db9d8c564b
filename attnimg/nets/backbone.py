"""The backbone of classifier and segmenter: a residual CNN with optional channel attention in each block, and
self-attention after the last stage.

Residual blocks follow He et al. 2016 (https://arxiv.org/abs/1512.03385). Strided blocks average the shortcut before
projecting it (He et al. 2019, https://arxiv.org/abs/1812.01187). All 3x3 convolutions are dense: on CPUs and GPUs they
run nearer to peak speed than depthwise ones, so they are more accurate at equal time, though not at equal FLOPs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from attnimg import attention


@dataclass(frozen=True)
class BackboneConfig:
    """The configuration of a backbone.

    widths, depths: channels and blocks of each stage; stage 0 runs at 1/stem_stride of the input's resolution, each
    later one at half of the previous. channel_attention: mechanism at the end of each block. spatial_attention:
    self-attention ("self", "neighborhood", "cosine", "euclidean", "linear") after the last stage, which has few
    positions and rich features. heads: number of its heads. span: of "neighborhood". drop_path: probability that the
    deepest block is skipped in training (Huang et al. 2016, https://arxiv.org/abs/1603.09382); it grows linearly from 0
    at the first block.
    """

    widths: tuple[int, ...] = (32, 96, 192)
    depths: tuple[int, ...] = (1, 2, 2)
    stem_stride: int = 2
    channel_attention: str = "se"
    spatial_attention: str = "self"
    heads: int = 1
    span: int = 22
    drop_path: float = 0.0


def conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution (same padding) and a batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class DropPath(nn.Module):
    """Skips a residual branch at random, for each image, with the given probability in training."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Set random images of x, N x C x H x W, to zero, and scale up the others."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        return x * (torch.rand(len(x), 1, 1, 1, device=x.device) < keep).to(x.dtype).div(keep)


class Block(nn.Module):
    """A residual block of two 3x3 convolutions and channel attention."""

    def __init__(self, inputs: int, outputs: int, stride: int, channel_attention: str, drop_path: float) -> None:
        super().__init__()
        self.conv1 = conv_norm(inputs, outputs, stride=stride)
        self.conv2 = conv_norm(outputs, outputs)
        nn.init.zeros_(cast(nn.BatchNorm2d, self.conv2[1]).weight)  # the block starts as its shortcut
        self.attention = attention.build(channel_attention, outputs)
        self.drop_path = DropPath(drop_path)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if stride > 1 or inputs != outputs:
            self.shortcut.append(conv_norm(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x ceil(H / stride) x ceil(W / stride)."""
        y = self.conv2(self.conv1(x).relu_())
        y = self.drop_path(self.attention(y))
        result: Tensor = y.add_(self.shortcut(x)).relu_()
        return result


class Backbone(nn.Module):
    """Maps images to feature maps of decreasing resolution and increasing width."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = conv_norm(3, config.widths[0], stride=config.stem_stride)
        drops = iter(torch.linspace(0, config.drop_path, sum(config.depths), device="cpu").tolist())
        self.stages = nn.ModuleList()
        inputs = config.widths[0]
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            blocks = nn.Sequential()
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(Block(inputs, width, stride, config.channel_attention, next(drops)))
                inputs = width
            self.stages.append(blocks)
        options = {"span": config.span} if config.spatial_attention == "neighborhood" else {}
        self.attention = attention.build(config.spatial_attention, inputs, heads=config.heads, **options)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map normalized images N x 3 x H x W to one map per stage, N x widths[i] x H/s x W/s, s = stem_stride 2**i."""
        x = self.stem(x).relu_()
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        features[-1] = self.attention(features[-1])
        return features
