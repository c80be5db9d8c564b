"""How bright a photo is to become is judged by a small copy: what it holds, and from all sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dark_photos import photo
from numpy.typing import NDArray
from tiny_nets import random_enhancing_net

from attnimg.nets.look import MEDIUM
from attnimg.tasks.exposure import MOST_CORRECTION, look_around, squeeze


def test_a_turned_photo_is_judged_as_the_upright_one() -> None:
    net, small = random_enhancing_net(), torch.from_numpy(squeeze(photo(40, 40), 32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        upright = look_around(net, small)
        turned = look_around(net, torch.rot90(small, 1, (2, 3)))
        once = net.look(small)
    assert torch.allclose(upright.log_gain, torch.rot90(turned.log_gain, -1, (2, 3)), atol=1e-4)
    assert torch.allclose(upright.context, turned.context, atol=1e-4)
    assert not torch.allclose(upright.log_gain, once.log_gain, atol=1e-3)


def test_the_corners_decide_how_far_to_go_and_the_whole_says_where() -> None:
    net, small = random_enhancing_net(), torch.from_numpy(squeeze(photo(40, 40), 32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        found = look_around(net, small).log_gain
        sides = [net.look(torch.rot90(small, turns, (2, 3))).log_gain for turns in range(4)]
        whole = sum(torch.rot90(side, -turns, (2, 3)) for turns, side in enumerate(sides)) / 4
        judged, there = torch.zeros(3), torch.zeros(3)
        for turns, (top, left) in enumerate([(0, 0), (0, 1), (1, 1), (1, 0)]):  # as a corner comes up by turning
            part = small[..., 8 * top : 8 * top + 24, 8 * left : 8 * left + 24]
            judged += net.look(torch.rot90(part, turns, (2, 3))).log_gain.mean((0, 2, 3)) / 4
            there += whole[..., top : top + 3, left : left + 3].mean((0, 2, 3)) / 4
    stretch = judged / there
    assert ((stretch - 1).abs() > 1e-3).all()
    bounded = stretch.clamp(1 / MOST_CORRECTION, MOST_CORRECTION)
    assert torch.allclose(found, whole * bounded[:, None, None], atol=1e-4)


def test_what_needs_no_light_gets_none_whatever_its_corners_say() -> None:
    net = random_enhancing_net()
    small = torch.full((1, 6, 32, 32), 0.9)
    small[..., :18, :18] = 0.0
    with torch.no_grad():
        assert small.mean() > MEDIUM > small[..., :24, :24].mean()
        assert net.look(small[..., :24, :24]).log_gain.mean() > 0.1
        assert not look_around(net, small).log_gain.any()


def shares(length: int, size: int) -> NDArray[np.float64]:
    """How much of each of `size` equal cells each of `length` pixels is, size x length."""
    edges = np.linspace(0, length, size + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return overlap.clip(min=0) / (length / size)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 300), (300, 7), (32, 32), (131, 77), (33, 31), (1, 50)])
def test_squeezing_takes_mean_colours_and_mean_grain(size: tuple[int, int], dtype: type) -> None:
    full = np.iinfo(dtype).max
    pixels = np.random.default_rng(1).integers(0, full, (*size, 3), dtype, endpoint=True)
    wide, grain = pixels.astype(np.int64), np.zeros((*size, 3))
    for y in range(1, size[0]):
        for x in range(1, size[1]):
            steps = np.abs(wide[y, x] - wide[y - 1, x]) + np.abs(wide[y, x] - wide[y, x - 1])
            grain[y, x] = steps / 2
    expected = np.einsum("iy,yxc,jx->ijc", shares(size[0], 32), np.dstack([wide, grain]), shares(size[1], 32)) / full
    small = squeeze(pixels, 32)
    assert small.dtype == np.float32
    assert small.shape == (32, 32, 6)
    assert np.abs(small - expected).max() < 2e-5
