"""How bright a photo is to become is judged by a small copy: what it holds, and from all sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.dark_photos import photo
from helpers.tiny_nets import random_enhancing_net
from numpy.typing import NDArray
from torch import nn

from attnimg.nets.enhancer.exposure import MEDIUM, rescale_gain, solve_gain
from attnimg.nets.enhancer.exposure_prior import BINS, expected_exposure, shift_bins
from attnimg.predictors.exposure import MOST_CORRECTION, estimate_exposure_tta, make_thumbnail


def test_a_turned_photo_is_judged_as_the_upright_one() -> None:
    net, small = random_enhancing_net(), torch.from_numpy(make_thumbnail(photo(40, 40), 32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        upright = estimate_exposure_tta(net, small)
        turned = estimate_exposure_tta(net, torch.rot90(small, 1, (2, 3)))
        once = net.exposure(small)
    assert torch.allclose(upright.log_gain, torch.rot90(turned.log_gain, -1, (2, 3)), atol=1e-4)
    assert torch.allclose(upright.context, turned.context, atol=1e-4)
    assert not torch.allclose(upright.log_gain, once.log_gain, atol=1e-3)


@pytest.mark.parametrize("near", [True, False])
def test_the_odds_of_the_corners_decide_how_far_to_go_and_the_whole_says_where(near: bool) -> None:
    net, small = random_enhancing_net(), torch.from_numpy(make_thumbnail(photo(40, 40), 32)).permute(2, 0, 1)[None]
    nn.init.normal_(net.prior.logits.weight, std=0.3 if near else 3.0)
    colors = small[:, :3]
    with torch.no_grad():
        found = estimate_exposure_tta(net, small)
        sides = [net.exposure(torch.rot90(small, turns, (2, 3))).log_gain for turns in range(4)]
        whole = sum(torch.rot90(side, -turns, (2, 3)) for turns, side in enumerate(sides)) / 4
        odds = torch.zeros(1, BINS)
        for turns, (top, left) in enumerate([(0, 0), (0, 1), (1, 1), (1, 0)]):  # as a corner comes up by turning
            part = small[..., 8 * top : 8 * top + 24, 8 * left : 8 * left + 24]
            judged = net.prior(net.exposure(torch.rot90(part, turns, (2, 3))).context)
            ratio = (solve_gain(part[:, :3], MEDIUM).exp() - 1) / (solve_gain(colors, MEDIUM).exp() - 1)
            odds += shift_bins(judged, ratio.log().flatten())
        exposure = expected_exposure(odds, colors)
    likely = rescale_gain(whole, colors, exposure)
    bounded = likely.clamp(whole / MOST_CORRECTION, whole * MOST_CORRECTION)
    assert torch.allclose(found.log_gain, bounded, atol=1e-3)
    assert (found.log_gain - whole).abs().min() > 0.01
    assert torch.equal(likely, bounded) == near


def test_what_needs_no_light_gets_none_whatever_its_corners_say() -> None:
    net = random_enhancing_net()
    small = torch.full((1, 6, 32, 32), 0.9)
    small[..., :18, :18] = 0.0
    with torch.no_grad():
        assert small.mean() > MEDIUM > small[..., :24, :24].mean()
        assert net.exposure(small[..., :24, :24]).log_gain.mean() > 0.1
        assert not estimate_exposure_tta(net, small).log_gain.any()


def shares(length: int, size: int) -> NDArray[np.float64]:
    """How much of each of `size` equal cells each of `length` pixels is, size x length."""
    edges = np.linspace(0, length, size + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return overlap.clip(min=0) / (length / size)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 300), (300, 7), (32, 32), (131, 77), (33, 31), (1, 50)])
def test_squeezing_takes_mean_colors_and_mean_grain(size: tuple[int, int], dtype: type) -> None:
    full = np.iinfo(dtype).max
    pixels = np.random.default_rng(1).integers(0, full, (*size, 3), dtype, endpoint=True)
    wide, grain = pixels.astype(np.int64), np.zeros((*size, 3))
    for y in range(1, size[0]):
        for x in range(1, size[1]):
            steps = np.abs(wide[y, x] - wide[y - 1, x]) + np.abs(wide[y, x] - wide[y, x - 1])
            grain[y, x] = steps / 2
    expected = np.einsum("iy,yxc,jx->ijc", shares(size[0], 32), np.dstack([wide, grain]), shares(size[1], 32)) / full
    small = make_thumbnail(pixels, 32)
    assert small.dtype == np.float32
    assert small.shape == (32, 32, 6)
    assert np.abs(small - expected).max() < 2e-5
