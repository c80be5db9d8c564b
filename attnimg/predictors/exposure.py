"""Judging how far whole photos are to be brightened, by small copies of them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnimg.images.backends import opencv_memory_errors
from attnimg.images.pixels import Pixels
from attnimg.nets.enhancer.exposure import MEDIUM, ExposureEstimate, solve_gain
from attnimg.nets.enhancer.exposure_prior import expected_exposure, shift_bins
from attnimg.nets.enhancer.net import EnhancerNet

ROWS = 16  # of a photo in floats at once, which a core keeps at hand
SIDES = 4
MOST_CORRECTION = 1.2  # of the logarithm of the gain, by what the odds say


@opencv_memory_errors()
def make_thumbnail(pixels: Pixels, size: int) -> NDArray[np.float32]:
    """Squeeze a whole photo, H x W x 3, into size x size x 6 float32 in [0, 1].

    The first three are the mean colors of what each cell covers, the others its grain: the mean absolute difference of
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


def estimate_exposure_tta(net: EnhancerNet, small: Tensor) -> ExposureEstimate:
    """Look at photos, N x 6 x S x S, from all four sides and at their corners, and join what is seen.

    Which side is up tells little of the light, so the four judgements differ by their errors, which partly cancel: they
    are averaged. How far to go is decided by the four corners, three quarters as wide and high as the photo and each
    judged as if it were one: their odds are multiplied. These know little of photos that are only a little dark, which
    are left to the look.
    """
    sides, colors = rotations(small), small[:, :3]
    corners = crop_corner(sides)
    whole, own = (solve_gain(part[:, :3], MEDIUM).flatten().expm1().clamp(min=1e-6) for part in (colors, corners))
    odds = shift_bins(net.prior(net.exposure(corners).context), (own / whole.repeat(SIDES)).log())
    seen = ExposureEstimate(
        *(average_rotations(part) for part in net.exposure(sides))
    )  # the last look, whose map a recorder keeps
    likely = seen.rescaled_to(colors, expected_exposure(torch.stack(odds.chunk(SIDES)).sum(0), colors)).log_gain
    return seen._replace(log_gain=likely.clamp(seen.log_gain / MOST_CORRECTION, seen.log_gain * MOST_CORRECTION))


def rotations(grid: Tensor) -> Tensor:
    """Return grids over photos, N x C x G x G, as seen from all sides, 4N x C x G x G."""
    sides = torch.cat([torch.rot90(grid, turns, (2, 3)) for turns in range(SIDES)])
    return sides.contiguous(memory_format=torch.channels_last)


def crop_corner(grid: Tensor) -> Tensor:
    """Return the upper left of N x C x G x G, three quarters of its sides long."""
    side = -(-3 * grid.shape[-1] // 4)
    return grid[..., :side, :side].contiguous(memory_format=torch.channels_last)


def average_rotations(seen: Tensor) -> Tensor:
    """Average what was seen from all sides, 4N x ...: vectors as they are, grids (their last two axes) turned back."""
    views = seen.chunk(SIDES)
    if seen.ndim > 2:
        views = tuple(torch.rot90(view, -turns, (-2, -1)) for turns, view in enumerate(views))
    return torch.stack(views).mean(0)
