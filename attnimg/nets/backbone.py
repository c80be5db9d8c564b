"""The backbone that every task stands on: a residual CNN whose blocks may end in channel attention and whose last stage
attends over positions.

Residual blocks after He et al. 2016 (https://arxiv.org/abs/1512.03385); their first strided block averages its shortcut
before projecting it (He et al. 2019, https://arxiv.org/abs/1812.01187). Dense 3x3 convolutions throughout: on CPUs and
GPUs alike they run nearer to the machine's peak than depthwise ones, so that they win at equal time though not at
equal arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from attnimg import attention


@dataclass(frozen=True)
class BackboneConfig:
    """What a backbone looks like.

    widths, depths: channels and blocks of each stage; stage 0 works at 1/stem_stride of the input, each later one at
    half. channel_attention: mechanism at the end of each block. spatial_attention: self-attention ("self",
    "neighborhood", "cosine", "euclidean", "linear") behind the last stage, where positions are few and features rich.
    heads: of that. span: of "neighborhood". drop_path: probability that the deepest block is skipped in training
    (Huang et al. 2016, https://arxiv.org/abs/1603.09382), growing linearly from 0 at the first block.
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
    """Convolution (same padding) and batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class DropPath(nn.Module):
    """Skips a residual branch, per image, with the given probability while training."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Zero whole images of x, N x C x H x W, and scale up the others."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        return x * (torch.rand(len(x), 1, 1, 1, device=x.device) < keep).to(x.dtype).div(keep)


class Block(nn.Module):
    """Two 3x3 convolutions and channel attention beside a shortcut."""

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
        """N x inputs x H x W to N x outputs x ceil(H / stride) x ceil(W / stride)."""
        y = self.conv2(self.conv1(x).relu_())
        y = self.drop_path(self.attention(y))
        result: Tensor = y.add_(self.shortcut(x)).relu_()
        return result


class Backbone(nn.Module):
    """Images to feature maps of growing depth and shrinking size."""

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
        """Normalized images N x 3 x H x W to one map per stage, N x widths[i] x H/s x W/s with s = stem_stride 2**i."""
        x = self.stem(x).relu_()
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        features[-1] = self.attention(features[-1])
        return features
