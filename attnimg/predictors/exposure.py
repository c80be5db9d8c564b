"""Exposure estimation for whole photos, from their thumbnails."""

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

ROWS = 16  # of a photo per band of floats, which fits into a core's cache
SIDES = 4
MOST_CORRECTION = 1.2  # factor by which the prior may change the log gain


@opencv_memory_errors()
def make_thumbnail(pixels: Pixels, size: int) -> NDArray[np.float32]:
    """Scale a whole photo, H x W x 3, to a square thumbnail, size x size x 6 float32 in [0, 1].

    The first three channels are the mean colors of each cell, the others its grain: the mean absolute difference of a
    pixel from its upper and left neighbors, 0 at the upper and left border.
    """
    # In floats, as rounded means would be coarse in dark photos; in bands of rows, to bound the memory.
    bands: tuple[list[NDArray[Any]], ...] = ([], [])
    for top in range(0, len(pixels), ROWS):
        rows = pixels[max(0, top - 1) : top + ROWS].astype(np.float32)
        grain = np.zeros_like(rows)
        here, above, left = rows[1:, 1:], rows[:-1, 1:], rows[1:, :-1]
        if here.size:
            grain[1:, 1:] = (cv2.absdiff(here, above) + cv2.absdiff(here, left)) / 2
        for band, part in zip(bands, (rows, grain), strict=True):
            own = part[top > 0 :]  # the row above is needed for the differences only
            band.append(cv2.resize(own, (size, len(own)), interpolation=cv2.INTER_AREA))
    squeezed = [cv2.resize(np.vstack(band), (size, size), interpolation=cv2.INTER_AREA) for band in bands]
    return np.dstack(squeezed) / np.float32(np.iinfo(pixels.dtype).max)


def estimate_exposure_tta(net: EnhancerNet, small: Tensor) -> ExposureEstimate:
    """Estimate the exposure of thumbnails, N x 6 x S x S, with test-time augmentation: rotations and corner crops.

    The estimates of the four rotations are averaged. Orientation says little about the light, so their errors partly
    cancel. The exposure level is then set by the prior. It is evaluated on four corner crops, three quarters of the
    photo's sides, each treated as a whole photo, and their probabilities are multiplied. The prior is unreliable for
    photos that are only slightly dark, so it may change the log gain by a factor of `MOST_CORRECTION` at most.
    """
    turned, colors = rotations(small), small[:, :3]
    corners = crop_corner(turned)
    whole, own = (solve_gain(part[:, :3], MEDIUM).flatten().expm1().clamp(min=1e-6) for part in (colors, corners))
    log_probabilities = shift_bins(net.prior(net.exposure(corners).context), (own / whole.repeat(SIDES)).log())
    # The last call of the exposure net, as a recorder keeps the map of the last one.
    estimate = ExposureEstimate(*(average_rotations(part) for part in net.exposure(turned)))
    exposure = expected_exposure(torch.stack(log_probabilities.chunk(SIDES)).sum(0), colors)
    log_gain, likely = estimate.log_gain, estimate.rescaled_to(colors, exposure).log_gain
    return estimate._replace(log_gain=likely.clamp(log_gain / MOST_CORRECTION, log_gain * MOST_CORRECTION))


def rotations(grid: Tensor) -> Tensor:
    """Return grids N x C x G x G in all four rotations, 4N x C x G x G."""
    turned = torch.cat([torch.rot90(grid, turns, (2, 3)) for turns in range(SIDES)])
    return turned.contiguous(memory_format=torch.channels_last)


def crop_corner(grid: Tensor) -> Tensor:
    """Return the upper left corner of N x C x G x G, three quarters of its sides."""
    side = -(-3 * grid.shape[-1] // 4)
    return grid[..., :side, :side].contiguous(memory_format=torch.channels_last)


def average_rotations(values: Tensor) -> Tensor:
    """Average values of the four rotations, 4N x ...; grids are rotated back first, by their last two axes."""
    views = values.chunk(SIDES)
    if values.ndim > 2:
        views = tuple(torch.rot90(view, -turns, (-2, -1)) for turns, view in enumerate(views))
    return torch.stack(views).mean(0)
