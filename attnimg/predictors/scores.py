"""Classes and probabilities at the photo's own size, from a segmenter's logits on a coarser grid.

Logits are enlarged bilinearly, as in training, and in bands of rows, as those of a large photo are many times its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

BAND = 1 << 18  # pixels per band; larger bands are not faster and take more memory
ROWS = 1 << 10  # per band at most, since the weights of a very narrow photo would be many times its size

Scores = NDArray[np.float32]
"""Logits C x h x w on a grid over the whole photo."""


def enlarge(maps: Tensor, height: int, width: int, *, band: int = BAND) -> Iterator[tuple[slice, Tensor]]:
    """Enlarge maps C x h x w bilinearly (half-pixel centers); yield for each band its rows and maps, C x r x width.

    band: most pixels per band.
    """
    cells = maps.shape[1]
    step = max(1, min(ROWS, band // width))
    for top in range(0, height, step):
        rows = torch.arange(top, min(top + step, height), dtype=torch.float32)
        places = ((rows + 0.5) * (cells / height) - 0.5).clamp(0, cells - 1)
        first, last = int(places[0]), min(int(places[-1]) + 1, cells - 1)
        weights = (1 - (places[:, None] - torch.arange(first, last + 1)).abs()).clamp(min=0)  # rows sum to one
        size = (last + 1 - first, width)
        wide = F.interpolate(maps[None, :, first : last + 1], size, mode="bilinear", align_corners=False)[0]
        yield slice(top, top + len(rows)), weights.to(maps.device) @ wide


def choose_best(logits: Tensor, height: int, width: int) -> NDArray[np.uint8]:
    """Return the class of the highest logit at each pixel, height x width. logits: C x h x w, C at most 255."""
    mask = np.empty((height, width), np.uint8)
    for rows, band in enlarge(logits, height, width):
        mask[rows] = band.max(0).indices.byte().cpu().numpy()
    return mask


def foreground_probability(scores: Scores, chosen: Sequence[int], height: int, width: int) -> NDArray[np.float32]:
    """Return p / (p + q), height x width, for the probabilities p of the best chosen class, q of the best other class.

    It is above 0.5 exactly where the pixel's class is a chosen one.
    """
    logits = torch.from_numpy(scores)
    ids = torch.tensor(chosen)
    others = torch.ones(len(logits), dtype=torch.bool).index_fill_(0, ids, False)
    share = np.ones((height, width), np.float32)
    if others.any():
        for rows, band in enlarge(logits, height, width):
            share[rows] = (band[ids].amax(0) - band[others].amax(0)).sigmoid_().numpy()
    return share


class Probabilities:
    """Probability maps of the classes, computed one class at a time to save memory. scores: C x h x w."""

    def __init__(self, scores: Scores, height: int, width: int) -> None:
        self._logits, self._size = torch.from_numpy(scores), (height, width)
        self._total = torch.empty(height, width)
        for rows, band in enlarge(self._logits, height, width):
            self._total[rows] = band.logsumexp(0)

    def class_map(self, index: int) -> NDArray[np.float32]:
        """Return the probabilities of a class, height x width in [0, 1]. Those of all classes sum to one."""
        found = np.empty(self._size, np.float32)
        for rows, (band,) in enlarge(self._logits[index : index + 1], *self._size):
            found[rows] = band.sub_(self._total[rows]).exp_().numpy()
        return found
