"""Calibration: whether scores of 0.8 are correct eight times out of ten, and a temperature that corrects them.

Guo et al. 2017, On Calibration of Modern Neural Networks (https://arxiv.org/abs/1706.04599): the reliability diagram,
the expected calibration error and temperature scaling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

MIN_TEMPERATURE, MAX_TEMPERATURE = 1 / 64, 64.0
"""Bounds of the search: beyond them the scores of any trained net are 0 and 1, or uniform."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The images whose confidence is in (lower, upper]: count, mean confidence, accuracy; NaN if there are none."""

    lower: float
    upper: float
    count: int
    confidence: float
    accuracy: float


class Reliability:
    """Confidence and accuracy in bins of equal width, to which batches are added.

    bins: number of bins, 15 as in the paper. Iterating yields each `Bin`, lowest confidence first.
    """

    def __init__(self, bins: int = 15) -> None:
        self.bins = bins
        self.count = torch.zeros(bins, dtype=torch.int64)
        self.confidence = torch.zeros(bins, dtype=torch.float64)
        self.correct = torch.zeros(bins, dtype=torch.float64)

    def update(self, confidence: Tensor, correct: Tensor) -> None:
        """Add N images. confidence: N scores in [0, 1] of predicted labels. correct: N, whether they are correct."""
        confidence = confidence.detach().cpu().double()
        index = (confidence * self.bins).ceil().long().sub(1).clamp(0, self.bins - 1)
        self.count += torch.bincount(index, minlength=self.bins)
        self.confidence.index_add_(0, index, confidence)
        self.correct.index_add_(0, index, correct.detach().cpu().double())

    def __iter__(self) -> Iterator[Bin]:
        confidence, accuracy = (self.confidence / self.count).tolist(), (self.correct / self.count).tolist()
        for i, count in enumerate(self.count.tolist()):
            yield Bin(i / self.bins, (i + 1) / self.bins, count, confidence[i], accuracy[i])

    def error(self) -> float:
        """Return the expected calibration error in [0, 1]: |accuracy - confidence|, averaged over the images' bins."""
        return float((self.correct - self.confidence).abs().sum() / self.count.sum())


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature T that minimizes the negative log-likelihood of softmax(logits / T) on these images.

    logits: N x K, finite, of images that were not trained on. targets: N class indices. T lies between
    `MIN_TEMPERATURE` and `MAX_TEMPERATURE`. N correct answers of N do not prove certainty, so each label is smoothed by
    1 / (N + 2), after Platt 1999; on many images that changes nothing. The loss is convex in 1/T, so bisection of its
    slope finds the only minimum. ValueError: there are no images, or a logit is not finite.
    """
    logits = logits.detach().cpu().double()
    if not len(logits) or not logits.isfinite().all():
        raise ValueError("A temperature needs at least one image, and finite logits.")
    unsure = 1 / (len(logits) + 2)
    correct = logits.gather(1, targets.detach().cpu()[:, None]).mean()
    target = (1 - unsure) * correct + unsure * logits.mean()
    low, high = MIN_TEMPERATURE, MAX_TEMPERATURE
    while high / low > 1 + 1e-6:
        middle = (low * high) ** 0.5
        expected = ((logits / middle).softmax(1) * logits).sum(1).mean()
        # Too small a T: the expected logit of the prediction exceeds that of the labels.
        low, high = (middle, high) if expected > target else (low, middle)
    return float((low * high) ** 0.5)
