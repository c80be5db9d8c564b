"""The classifier: backbone, attention pooling, logits.

A region attention with one region decides what the pooled features are made of: the mean of its output is sum_i w_i
x_i, with weights w of its own for each head's share of the channels. Its map, the mean over the heads, says how much
each position counts, and is what overlays draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from attnimg import attention
from attnimg.nets.backbone import Backbone, BackboneConfig, conv_norm


@dataclass(frozen=True)
class ClassifierConfig:
    """What a classifier looks like.

    classes: number of logits. width: channels of the pooled features. pooling: mechanism before the mean. heads: of
    "region" there. dropout: of the pooled features.
    """

    classes: int = 200
    width: int = 384
    pooling: str = "region"
    heads: int = 1
    dropout: float = 0.0
    backbone: BackboneConfig = field(default_factory=BackboneConfig)


class ClassifierNet(nn.Module):
    """Images to logits."""

    Config = ClassifierConfig

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config.backbone)
        self.expand = conv_norm(config.backbone.widths[-1], config.width, 1)
        options = {"heads": config.heads} if config.pooling == "region" else {}
        self.attention = attention.build(config.pooling, config.width, **options)
        self.dropout = nn.Dropout(config.dropout)
        self.logits = nn.Linear(config.width, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalized images N x 3 x H x W to logits N x classes."""
        x = self.expand(self.backbone(x)[-1]).relu_()  # (N, width, h, w)
        x = self.attention(x).mean((2, 3), dtype=self.logits.weight.dtype)  # (N, width)
        with torch.autocast(x.device.type, enabled=False):  # rounded logits would round the scores
            logits: Tensor = self.logits(self.dropout(x))
        return logits
