"""Recipes of classifiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from attnimg.nets.classifier import ClassifierConfig
from attnimg.training.recipe.common import Recipe

POOLINGS = ("region", "spatial", "none")  # mechanisms whose map can be drawn over an image, or none


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training images on the device, by Kornia. Zero turns a step off.

    crop: smallest share of the area that a random resized crop keeps. flip: probability. rotation: most degrees. shift:
    most, as a share of the side. color: strength of brightness, contrast and saturation jitter. erase: probability of
    a random erasing. mixup, cutmix: shares of the batches that are mixed in these ways (Zhang et al. 2018, Yun et al.
    2019), with shares drawn uniformly.
    """

    crop: float = 0.35
    flip: float = 0.5
    rotation: float = 0.0
    shift: float = 0.0
    color: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0


@dataclass(frozen=True)
class ClassifyRecipe(Recipe):
    """A run of a classifier.

    label_smoothing: share of the target that is spread over all classes. balance: exponent of the classes' inverse
    frequency as their weight in the loss, 0 to 1.
    """

    task: ClassVar[str] = "classify"

    net: ClassifierConfig = field(default_factory=ClassifierConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_smoothing: float = 0.1
    balance: float = 0.0

    def rules(self) -> dict[str, bool]:
        """Return conditions, as sentences, and whether each holds."""
        return super().rules() | {
            "balance must be between 0 and 1": 0 <= self.balance <= 1,
            "mixup and cutmix must not sum to more than 1": self.augmentation.mixup + self.augmentation.cutmix <= 1,
            f"pooling must be one of {', '.join(POOLINGS)}": self.net.pooling in POOLINGS,
        }
