"""The segmenter: a backbone with self-attention, and a U-net decoder with attention gates on its skip connections.

The backbone ends in self-attention at 1/16 of the photo's resolution, by which each position gathers context from a
wide neighborhood. The map drawn by overlays is the attention that each position receives there. A gate then weights
these features by position; after training it is open nearly everywhere. The decoder doubles the resolution step by step
(U-net, Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597). At each step an attention gate, controlled by the
coarser map, weights the positions of the backbone's finer map before the two are added (Attention U-Net, Oktay et al.
2018, https://arxiv.org/abs/1804.03999).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg import attention
from attnimg.attention.gate import AttentionGate
from attnimg.nets.backbone import Backbone, BackboneConfig, Block, conv_norm


@dataclass(frozen=True)
class SegmenterConfig:
    """The configuration of a segmenter.

    classes: number of logits. focus: mechanism that weights the backbone's last map, before the decoder. gate:
    mechanism on the skip connections. dropout: of the decoded features. Every mechanism may be "none".
    """

    classes: int = 11
    focus: str = "gate"
    gate: str = "gate"
    dropout: float = 0.1
    backbone: BackboneConfig = field(
        default_factory=lambda: BackboneConfig(
            widths=(32, 64, 128, 192),
            depths=(1, 2, 3, 2),
            channel_attention="none",
            spatial_attention="neighborhood",  # photos are larger than training crops
            heads=8,
        )
    )


class Merge(nn.Module):
    """A step of the decoder: adds the upsampled coarse map and the gated fine map."""

    def __init__(self, deep: int, channels: int, gate: str) -> None:
        super().__init__()
        self.project = conv_norm(deep, channels, 1)
        options = {"gate_channels": deep} if gate == "gate" else {}
        self.gate = attention.build(gate, channels, **options)
        self.block = Block(channels, channels, 1, "none", 0.0)

    def forward(self, deep: Tensor, fine: Tensor) -> Tensor:
        """Merge maps N x deep x h x w and N x channels x H x W into N x channels x H x W."""
        taken = self.gate(fine, deep) if isinstance(self.gate, AttentionGate) else self.gate(fine)
        # Bilinear weights sum to one, so the 1 x 1 convolution can run first, on the smaller map.
        result: Tensor = self.block(resize(self.project(deep), fine.shape[2:]).add_(taken).relu_())
        return result


class SegmenterNet(nn.Module):
    """Maps photos to a grid of class logits."""

    Config = SegmenterConfig

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.backbone.widths
        self.backbone = Backbone(config.backbone)
        self.attention = attention.build(config.focus, widths[-1])
        self.decoder = nn.ModuleList(
            Merge(deep, channels, config.gate) for deep, channels in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.logits = nn.Conv2d(widths[0], config.classes, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Map normalized photos N x 3 x H x W to one map per stage, finest first; the last one is weighted."""
        *fine, context = self.backbone(x)
        return [*fine, self.attention(context)]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Map the result of `encode` to logits, N x classes x h x w, h = ceil(H / stem stride)."""
        *fine, x = features
        for merge in self.decoder:
            x = merge(x, fine.pop())
        x = self.dropout(x)
        with torch.autocast(x.device.type, enabled=False):  # rounded logits would round the scores
            logits: Tensor = self.logits(x.to(self.logits.weight.dtype))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized photos N x 3 x H x W of any size to logits N x classes x h x w, h = ceil(H / stem stride)."""
        return self.decode(self.encode(x))

    @staticmethod
    def example_inputs(size: int) -> tuple[tuple[Tensor, ...], float]:
        """Return inputs for counting operations, and the number of 4:3 photos in them. size: their shortest side."""
        return (torch.zeros(1, 3, size, size * 4 // 3),), 1.0


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize maps N x C x h x w bilinearly to `size`, (height, width)."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
