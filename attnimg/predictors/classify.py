"""Image classification: labels with calibrated scores, and attention maps, for images of any shape.

The net was trained on scaled-down center squares. Therefore an image becomes one square view from its center, or
several views along its longer side; the probabilities of the views are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.images.pixels import Pixels
from attnimg.images.square import crop_square
from attnimg.labels import ClassName
from attnimg.models.backend import Backend, TorchBackend
from attnimg.models.load import load
from attnimg.models.preprocessing import Preprocessing
from attnimg.predictors.inputs import ImageLike, apply
from attnimg.records import Prediction

GRID = 64  # cells of an attention map along a view's side


@dataclass(frozen=True)
class Prepared:
    """An image that was preprocessed on the host.

    views: V x S x S x 3 uint8. positions: of each view along the longer side, 0 to 1. size: (width, height) of the
    image.
    """

    views: NDArray[np.uint8]
    positions: tuple[float, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Predicted:
    """The prediction for one image.

    probabilities: float32, one per class, summing to one. attention: float32 h x w over the whole image, in [0, 1]
    with 0.5 for uniform attention, NaN outside all views; None if not requested, or if the model has none.
    """

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32] | None


class Classifier:
    """Classifies images.

    net, header: of a `models.sources.Model`. device, precision: see `models.device`. views: number of square views per
    image, along its longer side.
    """

    def __init__(
        self,
        net: nn.Module,
        header: Mapping[str, Any],
        *,
        model: str,
        device: str = "auto",
        precision: str = "auto",
        views: int = 1,
    ) -> None:
        preprocessing = Preprocessing.of(header, "square")
        self.model = model
        self.classes = tuple(ClassName(**c) for c in header["classes"])
        self.shortest = preprocessing.size
        self.views = views
        self._temperature: float = header["temperature"]
        self.backend: Backend = TorchBackend(net, header, preprocessing, device=device, precision=precision)

    def __call__(self, images: ImageLike | Sequence[ImageLike], topk: int = 5) -> Any:
        """Classify one image (tuple of `topk` predictions, best first) or a list of them (list of such tuples).

        images: PIL images or RGB arrays H x W x 3, uint8 or uint16; ValueError, TypeError: anything else.
        """

        def work(arrays: list[Pixels]) -> list[Any]:
            return [self.best(predicted, topk) for predicted in self.predict([self.prepare(a) for a in arrays])]

        return apply(work, images)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Crop and scale the views of an image, H x W x 3, on the host. Thread-safe."""
        height, width = pixels.shape[:2]
        count = self.views if width != height else 1
        positions = tuple(np.linspace(0, 1, count).tolist()) if count > 1 else (0.5,)
        views = np.stack([crop_square(pixels, self.shortest, position) for position in positions])
        return Prepared(views, positions, (width, height))

    def predict(self, prepared: Sequence[Prepared], attention: bool = False) -> list[Predicted]:
        """Run the net on a batch; return one prediction per image. MemoryError: the device has too little memory."""
        if not prepared:
            return []
        logits, maps = self.backend(np.concatenate([p.views for p in prepared]), attention=attention)
        counts = [len(p.views) for p in prepared]
        probabilities = torch.split(F.softmax(torch.from_numpy(logits) / self._temperature, -1), counts)
        means = [p.mean(0).numpy() for p in probabilities]
        if maps is None:
            return [Predicted(mean, None) for mean in means]
        views = torch.split(torch.from_numpy(maps), counts)
        return [Predicted(mean, _spread(m, p)) for mean, m, p in zip(means, views, prepared, strict=True)]

    def best(self, predicted: Predicted, topk: int = 5, min_score: float = 0.0) -> tuple[Prediction, ...]:
        """Return the `topk` labels, best first, without those below `min_score`."""
        order = np.argsort(-predicted.probabilities, kind="stable")[:topk]
        found = [(self.classes[i], float(predicted.probabilities[i])) for i in order]
        return tuple(Prediction(c.id, c.label, score) for c, score in found if score >= min_score)


def load_classifier(
    model: str | None = None, *, device: str = "auto", precision: str = "auto", views: int = 1
) -> Classifier:
    """Build the classifier of a model's name or path; None: the shipped model. Raises Unavailable."""
    classifier: Classifier = load("classify", model, device=device, precision=precision, views=views)
    return classifier


def _spread(maps: Tensor, prepared: Prepared) -> NDArray[np.float32]:
    """Return one map over the whole image from the maps of the views, V x h x w; overlapping views are averaged."""
    width, height = prepared.size
    side = min(width, height)
    grid = min(GRID, side)  # no more cells than pixels
    rows, columns = round(grid * height / side), round(grid * width / side)
    fine = F.interpolate(maps[:, None], (grid, grid), mode="bilinear")[:, 0].numpy()
    total, count = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    for position, view in zip(prepared.positions, fine, strict=True):
        top, left = round(position * (rows - grid)), round(position * (columns - grid))
        total[top : top + grid, left : left + grid] += view
        count[top : top + grid, left : left + grid] += 1
    seen = np.full_like(total, np.nan)
    np.divide(total, count, out=seen, where=count > 0)
    return seen
