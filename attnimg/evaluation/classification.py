"""Metrics of classifiers: batches are added while they are predicted, and (name, value) pairs are yielded at the end.

The interface is that of big_vision's evaluators (https://github.com/google-research/big_vision). Training measures
after each epoch, and `attnimg evaluate classify` once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from attnimg.evaluation.calibration import Reliability


class ClassificationMetrics:
    """Counts correct and wrong labels.

    classes: number K of classes. `confusion` is K x K int64, the true class by row, the predicted one by column;
    `reliability` holds confidence and accuracy. Both stay on the host, whatever device the batches come from.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self.reliability = Reliability()
        self._in_top5 = 0
        self._loss = 0.0

    @property
    def images(self) -> int:
        """Number of images that were added."""
        return int(self.confusion.sum())

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch. logits: N x K, or logarithms of probabilities. targets: N class indices in [0, K)."""
        scores = logits.detach().cpu().double().log_softmax(1)
        targets = targets.detach().cpu()
        # A stable sort, unlike topk, predicts the first of equal classes on every machine.
        best = scores.sort(dim=1, descending=True, stable=True).indices[:, :5]  # (N, 5)
        predicted = best[:, 0]
        places = targets * self.classes + predicted
        self.confusion += torch.bincount(places, minlength=self.classes**2).view_as(self.confusion)
        self.reliability.update(scores.gather(1, best[:, :1])[:, 0].exp(), predicted == targets)
        self._in_top5 += int((best == targets[:, None]).sum())
        self._loss += float(F.nll_loss(scores, targets, reduction="sum"))

    def per_class(self) -> tuple[Tensor, Tensor]:
        """Return precision and recall, K each, in [0, 1]; NaN for a class never predicted, or without images."""
        correct = self.confusion.diagonal().double()
        return correct / self.confusion.sum(0), correct / self.confusion.sum(1)

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield top1, top5, loss, ece, precision and recall: fractions in [0, 1], except for the loss in nats.

        The loss is the mean negative log-likelihood. Precision and recall are means over the classes that have
        images; a class that was never predicted has precision 0. ValueError: no images were added.
        """
        images = self.images
        if not images:
            raise ValueError("There are no images to measure; call update first.")
        yield "top1", int(self.confusion.trace()) / images
        yield "top5", self._in_top5 / images
        yield "loss", self._loss / images
        yield "ece", self.reliability.error()
        precision, recall = self.per_class()
        present = ~recall.isnan()
        yield "precision", float(precision[present].nan_to_num(0.0).mean())
        yield "recall", float(recall[present].mean())
