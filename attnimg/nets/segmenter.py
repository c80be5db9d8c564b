"""The segmenter: the backbone's context, and a decoder whose attention gates choose what detail to let through.

The backbone ends at a sixteenth of the photo's size in self-attention, by which each place gathers from a wide
neighborhood. All that is decoded starts from this, so the map that overlays draw is what each place receives. A gate
then weights the features by how much each place is to count; with training it opens nearly everywhere. The decoder
doubles the size step by step, as a U-net does (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597); at each step
a gate, told by the deeper map, weights the positions of the backbone's finer one before the two are added (Attention
U-Net, Oktay et al. 2018, https://arxiv.org/abs/1804.03999).
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
    """What a segmenter looks like.

    classes: number of logits. focus: mechanism that weights the context, before the decoder. gate: mechanism that
    weights what the decoder takes from the backbone. dropout: of the decoded features. Every mechanism may be "none".
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
            spatial_attention="neighborhood",  # photos are larger than the crops that it learns from
            heads=8,
        )
    )


class Merge(nn.Module):
    """One step of the decoder: what is deep, at twice its size, and what the gate takes from the finer map."""

    def __init__(self, deep: int, channels: int, gate: str) -> None:
        super().__init__()
        self.project = conv_norm(deep, channels, 1)
        options = {"gate_channels": deep} if gate == "gate" else {}
        self.gate = attention.build(gate, channels, **options)
        self.block = Block(channels, channels, 1, "none", 0.0)

    def forward(self, deep: Tensor, fine: Tensor) -> Tensor:
        """deep: N x deep x h x w; fine: N x channels x H x W. Returns N x channels x H x W."""
        taken = self.gate(fine, deep) if isinstance(self.gate, AttentionGate) else self.gate(fine)
        # Bilinear weights sum to one: resizing after the 1 x 1 convolution is the same, on the smaller map.
        result: Tensor = self.block(resize(self.project(deep), fine.shape[2:]).add_(taken).relu_())
        return result


class SegmenterNet(nn.Module):
    """Photos to the logits of every place."""

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
        """Normalized photos N x 3 x H x W to one map per stage, finest first; the last is the weighted context."""
        *fine, context = self.backbone(x)
        return [*fine, self.attention(context)]

    def decode(self, features: list[Tensor]) -> Tensor:
        """What `encode` returned to logits, N x classes x h x w, h = ceil(H / stem stride)."""
        *fine, x = features
        for merge in self.decoder:
            x = merge(x, fine.pop())
        x = self.dropout(x)
        with torch.autocast(x.device.type, enabled=False):  # rounded logits would round the scores
            logits: Tensor = self.logits(x.to(self.logits.weight.dtype))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Normalized photos N x 3 x H x W, of any size, to logits N x classes x h x w, h = ceil(H / stem stride)."""
        return self.decode(self.encode(x))


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize maps N x C x h x w bilinearly to `size`, (height, width)."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
