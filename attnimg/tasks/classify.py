"""Classification: pictures of any shape to calibrated labels, and where the net looked.

A picture becomes one square view from its centre, or several along its longer side whose probabilities are averaged:
the images that the net learnt from are centre squares, scaled down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.attention import Recorder
from attnimg.datasets.classes import ClassName
from attnimg.images.picture import Pixels
from attnimg.images.square import fit_square
from attnimg.results import Prediction
from attnimg.tasks.device import autocast, memory_errors, place_net
from attnimg.tasks.load import load
from attnimg.tasks.pictures import Picture, apply
from attnimg.tasks.preprocessing import Normalize, to_float

GRID = 64  # cells of an attention map along a view's side


@dataclass(frozen=True)
class Prepared:
    """The host's part of a picture.

    views: V x S x S x 3 uint8. places: where each view lies along the longer side, 0 to 1. size: (width, height).
    """

    views: NDArray[np.uint8]
    places: tuple[float, ...]
    size: tuple[int, int]


@dataclass(frozen=True)
class Predicted:
    """What the net says of one picture.

    probabilities: float32, one per class, summing to one. attention: float32 h x w over the whole picture, in [0, 1]
    with 0.5 for uniform attention, NaN where no view looked; None unless asked for.
    """

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32] | None


class Classifier:
    """Classifies pictures; knows nothing of files.

    net, header: as `checkpoints` keeps them. device, precision: see `tasks.device`. views: squares per picture, along
    its longer side.
    """

    def __init__(
        self,
        net: nn.Module,
        header: dict[str, Any],
        *,
        model: str,
        device: str,
        precision: str = "auto",
        views: int = 1,
    ) -> None:
        self.model = model
        self.classes = tuple(ClassName(**c) for c in header["classes"])
        self.shortest: int = header["preprocessing"]["size"]
        self.views = views
        self._normalize = Normalize.of(header["preprocessing"])
        self._temperature: float = header["temperature"]
        self._attention: str = header["attention"]
        self._net, self._device, self._dtype = place_net(net, device, precision)

    def __call__(self, images: Picture | Sequence[Picture], topk: int = 5) -> Any:
        """Classify one picture (tuple of `topk` predictions, best first) or a list of them (list of such tuples).

        images: PIL images or RGB arrays H x W x 3, uint8 or uint16; ValueError, TypeError: anything else.
        """

        def work(arrays: list[Pixels]) -> list[Any]:
            return [self.best(predicted, topk) for predicted in self.predict([self.prepare(a) for a in arrays])]

        return apply(work, images)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Cut and scale the views of a picture, H x W x 3; the host's part, for any thread."""
        height, width = pixels.shape[:2]
        count = self.views if width != height else 1
        places = tuple(np.linspace(0, 1, count).tolist()) if count > 1 else (0.5,)
        views = np.stack([fit_square(pixels, self.shortest, place) for place in places])
        return Prepared(views, places, (width, height))

    @memory_errors()
    def predict(self, prepared: Sequence[Prepared], attention: bool = False) -> list[Predicted]:
        """Run the net on a batch; one outcome each, in its order. MemoryError: the device has too little for it."""
        if not prepared:
            return []
        pixels = torch.from_numpy(np.concatenate([p.views for p in prepared]))
        recorder = Recorder(self._net, {self._attention} if attention else set())
        with torch.inference_mode(), autocast(self._device, self._dtype), recorder:
            logits = self._net(self._normalize(to_float(pixels.to(self._device, non_blocking=True))))
        probabilities = F.softmax(logits.float() / self._temperature, -1)
        counts = [len(p.views) for p in prepared]
        means = [p.mean(0).cpu().numpy() for p in torch.split(probabilities, counts)]
        if not attention:
            return [Predicted(mean, None) for mean in means]
        maps = torch.split(recorder.maps[self._attention], counts)
        return [Predicted(mean, _spread(m, p)) for mean, m, p in zip(means, maps, prepared, strict=True)]

    def best(self, predicted: Predicted, topk: int = 5, min_score: float = 0.0) -> tuple[Prediction, ...]:
        """Return the `topk` labels, best first, without those below `min_score`."""
        order = np.argsort(-predicted.probabilities, kind="stable")[:topk]
        found = [(self.classes[i], float(predicted.probabilities[i])) for i in order]
        return tuple(Prediction(c.id, c.label, score) for c, score in found if score >= min_score)


def load_classifier(
    model: str = "objects", *, device: str = "auto", precision: str = "auto", views: int = 1
) -> Classifier:
    """Build the classifier of a shipped model's name or a weight file's path; `Unavailable` says what is wrong."""
    return load(model, "classify", partial(Classifier, device=device, precision=precision, views=views))


def _spread(maps: Tensor, prepared: Prepared) -> NDArray[np.float32]:
    """Lay the maps of the views, V x h x w, out over the picture; where views overlap their mean counts."""
    width, height = prepared.size
    side = min(width, height)
    grid = min(GRID, side)  # a map needs no more cells than the picture has pixels
    rows, columns = round(grid * height / side), round(grid * width / side)
    fine = F.interpolate(maps[:, None].cpu(), (grid, grid), mode="bilinear")[:, 0].numpy()
    total, count = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.float32)
    for place, view in zip(prepared.places, fine, strict=True):
        top, left = round(place * (rows - grid)), round(place * (columns - grid))
        total[top : top + grid, left : left + grid] += view
        count[top : top + grid, left : left + grid] += 1
    seen = np.full_like(total, np.nan)
    np.divide(total, count, out=seen, where=count > 0)
    return seen
