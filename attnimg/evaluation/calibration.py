"""Is a score of 0.8 right eight times out of ten? How far from it a net is, and the one number that mends most of it.

Guo et al. 2017, On Calibration of Modern Neural Networks (https://arxiv.org/abs/1706.04599): the reliability diagram,
the expected calibration error and temperature scaling.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

COLDEST, HOTTEST = 1 / 64, 64.0
"""Between these a temperature is looked for: beyond them the scores of any trained net are 0 and 1, or uniform."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The images whose confidence is in (lower, upper]: how many, mean confidence, accuracy; means of none are NaN."""

    lower: float
    upper: float
    count: int
    confidence: float
    accuracy: float


class Reliability:
    """Confidence against accuracy in equal-width bins, batch after batch.

    bins: their number; 15 in the paper. Iterating yields every `Bin`, lowest confidence first.
    """

    def __init__(self, bins: int = 15) -> None:
        self.bins = bins
        self.count = torch.zeros(bins, dtype=torch.int64)
        self.confidence = torch.zeros(bins, dtype=torch.float64)
        self.correct = torch.zeros(bins, dtype=torch.float64)

    def update(self, confidence: Tensor, correct: Tensor) -> None:
        """Add N images. confidence: N, the score in [0, 1] of the label given; correct: N, whether it was right."""
        confidence = confidence.detach().cpu().double()
        place = (confidence * self.bins).ceil().long().sub(1).clamp(0, self.bins - 1)
        self.count += torch.bincount(place, minlength=self.bins)
        self.confidence.index_add_(0, place, confidence)
        self.correct.index_add_(0, place, correct.detach().cpu().double())

    def __iter__(self) -> Iterator[Bin]:
        confidence, accuracy = (self.confidence / self.count).tolist(), (self.correct / self.count).tolist()
        for i, count in enumerate(self.count.tolist()):
            yield Bin(i / self.bins, (i + 1) / self.bins, count, confidence[i], accuracy[i])

    def error(self) -> float:
        """Return the expected calibration error in [0, 1]: |accuracy - confidence|, averaged over the images' bins."""
        return float((self.correct - self.confidence).abs().sum() / self.count.sum())


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Find the T for which softmax(logits / T) has the smallest negative log-likelihood on these images.

    logits: N x K, finite; targets: N class indices. Take images that were not trained on. Returns T, at least
    `COLDEST` and at most `HOTTEST`. N right answers of N are no proof of certainty, so each label is smoothed by
    1 / (N + 2), after Platt 1999; on many images that changes nothing. The likelihood is convex in 1/T: bisecting its
    slope finds the one minimum.
    ValueError: no images, or a logit that is not finite.
    """
    logits = logits.detach().cpu().double()
    if not len(logits) or not logits.isfinite().all():
        raise ValueError("A temperature is fitted on one image or more, all of whose logits are finite.")
    unsure = 1 / (len(logits) + 2)
    right = logits.gather(1, targets.detach().cpu()[:, None]).mean()
    wanted = (1 - unsure) * right + unsure * logits.mean()
    low, high = COLDEST, HOTTEST
    while high / low > 1 + 1e-6:
        middle = (low * high) ** 0.5
        expected = ((logits / middle).softmax(1) * logits).sum(1).mean()
        # Too cold: the net expects more of its favourites than the labels give them.
        low, high = (middle, high) if expected > wanted else (low, middle)
    return float((low * high) ** 0.5)
