"""The classifier: backbone, attention pooling, logits.

Pooling is a region attention with a single region, followed by the mean, which yields sum_i w_i x_i; each head has its
own weights w for its part of the channels. The map drawn by overlays is the mean of these weights over the heads.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from attnimg import attention
from attnimg.nets.backbone import Backbone, BackboneConfig, conv_norm


@dataclass(frozen=True)
class ClassifierConfig:
    """The configuration of a classifier.

    classes: number of logits. width: channels of the pooled features. pooling: mechanism before the mean. heads: of
    the pooling, if it is "region". dropout: of the pooled features.
    """

    classes: int = 200
    width: int = 384
    pooling: str = "region"
    heads: int = 1
    dropout: float = 0.0
    backbone: BackboneConfig = field(default_factory=BackboneConfig)


class ClassifierNet(nn.Module):
    """Maps images to class logits."""

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
        """Map normalized images N x 3 x H x W to logits N x classes."""
        x = self.expand(self.backbone(x)[-1]).relu_()  # (N, width, h, w)
        x = self.attention(x).mean((2, 3), dtype=self.logits.weight.dtype)  # (N, width)
        with torch.autocast(x.device.type, enabled=False):  # rounded logits would round the scores
            logits: Tensor = self.logits(self.dropout(x))
        return logits

    @staticmethod
    def example_inputs(size: int) -> tuple[tuple[Tensor, ...], float]:
        """Return inputs for counting operations, and the number of views in them. size: side of a view in pixels."""
        return (torch.zeros(1, 3, size, size),), 1.0
