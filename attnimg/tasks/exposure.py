"""Judging how far whole photos are to be brightened, by small copies of them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attnimg.images.opencv import memory_errors
from attnimg.images.picture import Pixels
from attnimg.nets.enhancer import Enhancer, Seen, brighten

ROWS = 16  # of a photo in floats at once, which a core keeps at hand
BISECTIONS = 24
MOST_STRETCH = 4.0  # of the gain's logarithm, to reach an exposure
SIDES = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]


@memory_errors()
def squeeze(pixels: Pixels, size: int) -> NDArray[np.float32]:
    """Squeeze a whole photo, H x W x 3, into size x size x 6 float32 in [0, 1].

    The first three are the mean colours of what each cell covers, the others its grain: the mean absolute difference of
    a pixel from the one above and the one to the left, 0 at the upper and left border.
    """
    # In floats, as rounded means would be coarse in the dark; some rows at a time, to bound the memory.
    bands: tuple[list[NDArray[Any]], ...] = ([], [])
    for top in range(0, len(pixels), ROWS):
        rows = pixels[max(0, top - 1) : top + ROWS].astype(np.float32)
        grain = np.zeros_like(rows)
        here, above, left = rows[1:, 1:], rows[:-1, 1:], rows[1:, :-1]
        if here.size:
            grain[1:, 1:] = (cv2.absdiff(here, above) + cv2.absdiff(here, left)) / 2
        for band, part in zip(bands, (rows, grain), strict=True):
            own = part[top > 0 :]  # the row above is there for the differences only
            band.append(cv2.resize(own, (size, len(own)), interpolation=cv2.INTER_AREA))
    squeezed = [cv2.resize(np.vstack(band), (size, size), interpolation=cv2.INTER_AREA) for band in bands]
    return np.dstack(squeezed) / np.float32(np.iinfo(pixels.dtype).max)


def look_from_all_sides(net: Enhancer, small: Tensor) -> Seen:
    """Look at photos as they are, turned and mirrored, N x 6 x S x S, and average what is seen.

    Which side is up tells little of the light, so the eight judgements differ by their errors, which partly cancel:
    0.1 dB on LOL's validation pairs, for a few milliseconds.
    """
    views = torch.cat([torch.rot90(small.flip(3) if mirrored else small, turns, (2, 3)) for turns, mirrored in SIDES])
    return Seen(*(average(part) for part in net.look(views.contiguous(memory_format=torch.channels_last))))


def average(seen: Tensor) -> Tensor:
    """Average what was seen from all sides, 8N x ...: vectors as they are, grids (their last two axes) turned back."""
    views = list(seen.chunk(len(SIDES)))
    if seen.ndim > 2:
        for i, (turns, mirrored) in enumerate(SIDES):
            upright = torch.rot90(views[i], -turns, (-2, -1))
            views[i] = upright.flip(-1) if mirrored else upright
    return torch.stack(views).mean(0)


def expose(log_gain: Tensor, small: Tensor, exposure: float) -> Tensor:
    """Stretch the gain so that the photos' mean becomes `exposure`, as nearly as it can without darkening any.

    log_gain: N x 3 x G x G. small: N x 3 x S x S, the photos' small copies, in [0, 1].
    """
    gain = F.interpolate(log_gain, small.shape[2:], mode="bilinear")
    low = torch.zeros(len(small), 1, 1, 1, device=small.device)
    high = torch.full_like(low, MOST_STRETCH)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        dark = brighten(small, (gain * middle).exp()).mean((1, 2, 3), keepdim=True) < exposure
        low, high = torch.where(dark, middle, low), torch.where(dark, high, middle)
    return log_gain * low
