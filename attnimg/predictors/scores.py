"""What a segmenter says of each cell of its grid, brought to the photo's own size: classes, probabilities, margins.

Logits are enlarged bilinearly, as they are in training, and some rows at a time: those of a large photo are many times
its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

BAND = 1 << 18  # pixels at once; a few times more take as long, and that many times the memory
ROWS = 1 << 10  # at once at most: the weights of a line upright would be many times its size

Scores = NDArray[np.float32]
"""Logits C x h x w of a grid over a whole photo."""


def enlarge(maps: Tensor, height: int, width: int) -> Iterator[tuple[slice, Tensor]]:
    """Enlarge maps C x h x w bilinearly, corners upon corners, and yield each band's rows and maps, C x r x width."""
    cells = maps.shape[1]
    step = max(1, min(ROWS, BAND // width))
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
    """Return the best chosen class's probability beside the best other's, p / (p + q), height x width.

    It is above 0.5 where the pixel's class is a chosen one.
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
    """Every class's probability at each pixel, one class at a time, as all of them would take much memory."""

    def __init__(self, scores: Scores, height: int, width: int) -> None:
        self._logits, self._size = torch.from_numpy(scores), (height, width)
        self._total = torch.empty(height, width)
        for rows, band in enlarge(self._logits, height, width):
            self._total[rows] = band.logsumexp(0)

    def class_map(self, index: int) -> NDArray[np.float32]:
        """Return a class's, height x width in [0, 1]; those of all classes sum to one."""
        found = np.empty(self._size, np.float32)
        for rows, (band,) in enlarge(self._logits[index : index + 1], *self._size):
            found[rows] = band.sub_(self._total[rows]).exp_().numpy()
        return found
