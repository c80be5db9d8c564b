"""Classification as a task of the training loop: augmentation, cross-entropy, validation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.models.preprocessing import Preprocessing, to_float
from attnimg.training.augmentation import Augment
from attnimg.training.cache.squares import Pixels
from attnimg.training.recipe import ClassifyRecipe

VALIDATION_BATCH = 250


class Classification:
    """Training and validation images with their classes.

    train, validation: pixels N x S x S x 3 uint8, and N class indices. Class c has the weight (N / N_c) ** balance,
    scaled so that the mean over the examples is one.
    """

    score = "top1"

    def __init__(
        self,
        recipe: ClassifyRecipe,
        train: tuple[Pixels, tuple[int, ...]],
        validation: tuple[Pixels, tuple[int, ...]],
        preprocessing: Preprocessing,
    ) -> None:
        self.recipe = recipe
        self.pixels, classes = train
        self.classes = torch.tensor(classes)
        self.validation = validation[0], torch.tensor(validation[1])
        self.examples = len(classes)
        self.preprocessing = preprocessing
        self.augment = Augment(recipe.augmentation)
        counts = torch.bincount(self.classes, minlength=recipe.net.classes).clamp(min=1)
        weights = (self.examples / counts).pow(recipe.balance)
        self.weights = weights / weights[self.classes].mean()

    def batch(self, indices: list[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return N x S x S x 3 uint8 pixels and N classes on the device."""
        ascending = sorted(indices)  # in the order of the disk
        return torch.from_numpy(self.pixels[ascending]).to(device, non_blocking=True), self.classes[ascending].to(
            device
        )

    def loss(self, net: nn.Module, batch: tuple[Tensor, ...], size: int) -> Tensor:
        """Return the mean cross-entropy of one augmented batch."""
        pixels, classes = batch
        with torch.no_grad():
            images, mix = self.augment(to_float(pixels), classes, size)
            images = self.preprocessing.normalize(images).contiguous(memory_format=torch.channels_last)
        logits = net(images)
        losses = self._cross_entropy(logits, classes)
        if mix is not None:
            others, share = mix
            losses = (1 - share) * losses + share * self._cross_entropy(logits, others)
        return torch.mean(losses)

    def _cross_entropy(self, logits: Tensor, classes: Tensor) -> Tensor:
        smooth = self.recipe.label_smoothing
        weights = self.weights.to(logits.device)[classes]
        return F.cross_entropy(logits, classes, reduction="none", label_smoothing=smooth) * weights

    def validate(self, net: nn.Module, device: torch.device) -> Iterator[tuple[str, float]]:
        """Yield the measures of a net on the validation images."""
        metrics = ClassificationMetrics(self.recipe.net.classes)
        for logits, targets in self.logits(net, device):
            metrics.update(logits, targets)
        yield from metrics.results()

    def logits(self, net: nn.Module, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield logits and classes of the validation images, batch by batch."""
        pixels, classes = self.validation
        for start in range(0, len(pixels), VALIDATION_BATCH):
            part = torch.from_numpy(np.array(pixels[start : start + VALIDATION_BATCH])).to(device)
            images = self.preprocessing(part).contiguous(memory_format=torch.channels_last)
            yield net(images), classes[start : start + VALIDATION_BATCH]
