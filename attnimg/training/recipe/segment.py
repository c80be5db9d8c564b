"""Recipes of segmenters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from attnimg.nets.segmenter import SegmenterConfig
from attnimg.training.recipe.common import Recipe

FOCUSES = ("gate", "region", "spatial", "none")  # mechanisms whose map can be drawn over a photo, or none


@dataclass(frozen=True)
class SceneAugmentation:
    """Augmentation of training photos together with their masks, on the device. Zero turns a step off.

    scale: bounds of the factor by which a photo is enlarged, drawn evenly in octaves. flip: probability. color:
    strength of brightness, contrast and saturation jitter. hue: strength of hue jitter, at most 0.5.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    color: float = 0.3
    hue: float = 0.0


@dataclass(frozen=True)
class SegmentRecipe(Recipe):
    """A run of a segmenter.

    size, start_size: side of the crops, multiples of 16. crops: number from each photo per epoch. balance: exponent of
    the classes' median frequency weights in the loss, 0 to 1. lovasz, auxiliary: weights of two losses, added to the
    cross-entropy with weight 1: Lovász-softmax, and the cross-entropy of logits computed from the context alone.
    """

    task: ClassVar[str] = "segment"

    net: SegmenterConfig = field(default_factory=SegmenterConfig)
    augmentation: SceneAugmentation = field(default_factory=SceneAugmentation)
    epochs: int = 20
    size: int = 288
    start_size: int = 160
    batch_size: int = 8
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_gradient: float = 1.0
    crops: int = 3
    balance: float = 0.5
    lovasz: float = 0.5
    auxiliary: float = 0.4

    def rules(self) -> dict[str, bool]:
        """Return conditions, as sentences, and whether each holds."""
        low, high = self.augmentation.scale
        return super().rules() | {
            "sizes must be multiples of 16": self.size % 16 == self.start_size % 16 == 0,
            "crops must be at least 1": self.crops >= 1,
            "balance must be between 0 and 1": 0 <= self.balance <= 1,
            "scale must be above 0, the smaller first": 0 < low <= high,
            f"focus must be one of {', '.join(FOCUSES)}": self.net.focus in FOCUSES,
        }
