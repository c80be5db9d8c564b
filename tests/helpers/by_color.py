"""A net that stands in for a trained segmenter: it tells classes by their colors, and so its masks are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg import attention
from attnimg.predictors.segment import Segmenter

CLASSES = [
    {"id": 0, "label": "sky", "color": [0, 0, 255]},
    {"id": 1, "label": "road", "color": [255, 255, 255]},
    {"id": 2, "label": "tree", "color": [0, 255, 0]},
    {"id": 3, "label": "left/right", "color": [255, 0, 0]},
]
LABELS = [str(c["label"]) for c in CLASSES]
COLORS = np.array([c["color"] for c in CLASSES], np.uint8)
SKY, ROAD, TREE, SIDES = range(4)
HEADER = {
    "task": "segment",
    "architecture": {"name": "by_color"},
    "classes": CLASSES,
    "preprocessing": {"mean": [0.0] * 3, "std": [1.0] * 3, "size": 64, "fit": "shortest"},
    "attention": "attention",
}


@dataclass(frozen=True)
class ByColorConfig:
    """Nothing is to be chosen."""


class ByColor(nn.Module):
    """Stands in for a net that was trained: tells the classes by their colors, at a quarter of the resolution."""

    Config = ByColorConfig

    def __init__(self, config: ByColorConfig) -> None:
        super().__init__()
        self.attention = attention.build("region", 3)  # which begins uniform
        self.logits = nn.Conv2d(3, len(COLORS), 1)
        colors = torch.from_numpy(COLORS / np.float32(255))
        with torch.no_grad():  # the square of the distance is |x|^2 - 2 x c + |c|^2
            self.logits.weight.copy_(40 * colors[..., None, None])
            self.logits.bias.copy_(-20 * (colors**2).sum(1))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.logits(self.attention(F.avg_pool2d(x, 4, ceil_mode=True)))
        return logits


def by_color(**options: Any) -> Segmenter:
    return Segmenter(ByColor(ByColorConfig()), HEADER, model="segmenter", device="cpu", **options)


def scene() -> NDArray[np.uint8]:
    """Return a mask of 64 x 96: sky above road, a tree, something in the tree."""
    mask = np.full((64, 96), SKY, np.uint8)
    mask[32:] = ROAD
    mask[8:40, 24:72] = TREE
    mask[16:24, 40:56] = SIDES
    return mask


def blocks(height: int, width: int, seed: int = 0, side: int = 16) -> NDArray[np.uint8]:
    """Return a mask of squares."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, len(COLORS), (-(-height // side), -(-width // side)), dtype=np.uint8)
    return grid.repeat(side, 0).repeat(side, 1)[:height, :width]
