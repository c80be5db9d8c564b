"""Metrics of segmenters: masks are added one by one, and (name, value) pairs are yielded at the end.

Intersection over union, of pixels counted over all photos, is the usual measure. It hardly depends on the accuracy of
outlines. The boundary F-score measures these (Csurka et al. 2013, What is a good evaluation measure for semantic
segmentation?, https://doi.org/10.5244/C.27.32).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnimg.labels import VOID
from attnimg.masks.mask import Mask

TOLERANCE = 0.0075  # of the photo's diagonal, as in the paper: accepted error of an outline


class SegmentationMetrics:
    """Counts pixels by true and predicted class.

    labels: of the K classes. outlines: whether outlines are scored too, which takes longer than everything else.
    `confusion` is K x K int64 pixels, the true class by row, the predicted one by column; void pixels are ignored.
    """

    def __init__(self, labels: Sequence[str], *, outlines: bool = False) -> None:
        self.labels, self.outlines = tuple(labels), outlines
        self.images = 0
        self.confusion = torch.zeros(len(labels), len(labels), dtype=torch.int64)
        self._scores: list[list[float]] = [[] for _ in labels]

    def update(self, predicted: Mask, truth: Mask) -> None:
        """Add a photo. predicted, truth: H x W uint8 of class ids; truth may hold `VOID`."""
        classes, judged = len(self.labels), truth != VOID
        places = truth[judged].astype(np.int64) * classes + predicted[judged]
        self.confusion += torch.from_numpy(np.bincount(places, minlength=classes**2).reshape(classes, classes))
        self.images += 1
        if self.outlines:
            for class_, score in score_outlines(np.where(judged, predicted, np.uint8(VOID)), truth).items():
                self._scores[class_].append(score)

    def iou(self) -> Tensor:
        """Return the intersection over union of each class, K, in [0, 1]; NaN if it is neither true nor predicted."""
        right = self.confusion.diagonal().double()
        return right / (self.confusion.sum(0) + self.confusion.sum(1) - right)

    def boundary_f(self) -> Tensor:
        """Return the boundary F-score of each class, K, in [0, 1]: the mean over photos; NaN without outlines."""
        return torch.tensor([np.mean(s) if s else np.nan for s in self._scores], dtype=torch.float64)

    def results(self) -> Iterator[tuple[str, float]]:
        """Yield miou, pixel_accuracy and, with outlines, boundary_f and each class's iou: fractions in [0, 1].

        Means are over the classes that occur, in truth or prediction; NaN values are not yielded. ValueError: there are
        no pixels that are not void.
        """
        if not self.confusion.any():
            raise ValueError("There are no pixels to measure; call update first.")
        iou = self.iou()
        yield "miou", float(iou.nanmean())
        yield "pixel_accuracy", int(self.confusion.trace()) / int(self.confusion.sum())
        if self.outlines:
            named = [("boundary_f", float(self.boundary_f().nanmean()))]
            named += [(f"iou {label}", value) for label, value in zip(self.labels, iou.tolist(), strict=True)]
            yield from ((name, value) for name, value in named if not np.isnan(value))


def score_outlines(predicted: Mask, truth: Mask) -> dict[int, float]:
    """Return the boundary F-score, in [0, 1], of each class that has an outline in either mask.

    predicted, truth: H x W of class ids, `VOID` at the same pixels. Precision is the share of the predicted outline
    that lies within `TOLERANCE` of the true one, recall the share of the true outline that lies within `TOLERANCE` of
    the predicted one. F is 2PR / (P + R).
    """
    reach = TOLERANCE * float(np.hypot(*truth.shape))
    ours, theirs = find_outlines(predicted), find_outlines(truth)
    scores = {}
    for class_ in sorted(set(np.unique(predicted[ours])) | set(np.unique(truth[theirs]))):
        a, b = ours & (predicted == class_), theirs & (truth == class_)
        precision, recall = _share_near(a, b, reach), _share_near(b, a, reach)
        scores[int(class_)] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return scores


def find_outlines(mask: Mask) -> NDArray[np.bool_]:
    """Return for each pixel whether it belongs to a class and one of its four neighbors to another class."""
    outlines = np.zeros(mask.shape, bool)
    for ahead, behind in (
        ((slice(1, None),), (slice(None, -1),)),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        differ = (mask[ahead] != mask[behind]) & (mask[ahead] != VOID) & (mask[behind] != VOID)
        outlines[ahead] |= differ
        outlines[behind] |= differ
    return outlines


def _share_near(points: NDArray[np.bool_], others: NDArray[np.bool_], reach: float) -> float:
    if not points.any() or not others.any():
        return 0.0
    distances = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float((distances[points] <= reach).mean())
