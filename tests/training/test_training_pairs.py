"""What enhancers train on: darkness is its formula, crops lie where their boxes say, kinds come in their shares."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_nets import make_enhancer
from helpers.tiny_training import ENHANCE, keep_arrays
from kornia.color import rgb_to_linear_rgb
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attnimg.predictors.exposure import make_thumbnail
from attnimg.training.low_light import simulate_low_light
from attnimg.training.recipe import LowLight
from attnimg.training.tasks.enhancement import BRIGHTNESS_GRID, Enhancement, Kind, PhotoPairs, charbonnier, log_error

CPU = torch.device("cpu")


@pytest.mark.parametrize(("exposure", "shot", "read"), [(0.1, 0.02, 0.002), (0.3, 0.005, 0.003), (0.05, 0.03, 0.0005)])
def test_synthetic_noise_has_the_variance_of_its_formula(exposure: float, shot: float, read: float) -> None:
    torch.manual_seed(0)
    fixed = LowLight(
        exposure=(exposure, exposure),
        uneven=0.0,
        cast=0.0,
        gamma=(1.0, 1.0),
        shot=(shot, shot),
        read=(read, read),
    )
    codes = torch.full((1, 3, 256, 256), 0.8)
    light = rgb_to_linear_rgb(simulate_low_light(codes, fixed)).double()
    expected = exposure * float(rgb_to_linear_rgb(codes).mean())
    assert float(light.mean()) == pytest.approx(expected, rel=0.01)
    assert float(light.var()) == pytest.approx(shot**2 * expected + read**2, rel=0.03)


def test_synthetic_darkness_keeps_to_its_bounds_and_differs_from_photo_to_photo() -> None:
    torch.manual_seed(0)
    silent = dataclasses.replace(LowLight(), uneven=0.0, gamma=(1.0, 1.0), shot=(1e-6, 1e-6), read=(1e-6, 1e-6))
    codes = torch.full((400, 3, 4, 4), 0.7)
    share = (
        (rgb_to_linear_rgb(simulate_low_light(codes, silent)) / rgb_to_linear_rgb(codes)).mean((2, 3)).log2()
    )  # (400, 3)
    low, high = np.log2(silent.exposure)
    assert share.min() >= low - silent.cast - 0.01
    assert share.max() <= high + silent.cast + 0.01
    stops = share.mean(1)
    assert float(stops.mean()) == pytest.approx((low + high) / 2, abs=0.25)
    assert float(stops.std()) == pytest.approx((high - low) / 12**0.5, rel=0.1)  # even in stops
    casts = share - stops[:, None]
    assert 0.5 * silent.cast < casts.abs().max() <= 4 / 3 * silent.cast + 0.01
    default = simulate_low_light(codes, LowLight())
    assert default.isfinite().all()
    assert 0 <= default.min() < default.max() <= 1


def test_uneven_light_varies_smoothly_within_its_stops() -> None:
    torch.manual_seed(0)
    silent = LowLight((0.1, 0.1), uneven=1.5, cast=0.0, gamma=(1.0, 1.0), shot=(1e-6, 1e-6), read=(1e-6, 1e-6))
    codes = torch.full((50, 3, 64, 64), 0.7)
    stops = (rgb_to_linear_rgb(simulate_low_light(codes, silent)) / rgb_to_linear_rgb(codes)).log2() - np.log2(0.1)
    assert 1.0 < stops.abs().max() < 1.5 * 1.5, "cubic interpolation overshoots somewhat"
    assert stops.diff(dim=2).abs().max() < 0.25
    assert torch.allclose(stops[:, :1], stops, atol=0.01), "one light for all colors"


def coordinates(height: int, width: int) -> NDArray[np.uint8]:
    """A photo whose red tells the row and green the column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([20 + 2 * y, 20 + 2 * x, 0 * y + 90], -1).astype(np.uint8)


def sample(whole: Tensor, box: Tensor, size: int) -> Tensor:
    """Return what wholes, N x 3 x T x T, have at the pixels of crops in their boxes, N x 3 x size x size."""
    share = (torch.arange(size) + 0.5) / size
    y, x = (box[:, i, None] + (box[:, i + 2] - box[:, i])[:, None] * share for i in (0, 1))
    grid = torch.stack([x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1) * 2 - 1
    return F.grid_sample(whole, grid, padding_mode="border", align_corners=False)


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("window", [0.6, 1.0])
def test_crop_box_and_whole_agree_however_they_are_turned(tmp_path: Path, size: int, window: float) -> None:
    photos = keep_arrays(tmp_path, coordinates(64, 80), coordinates(96, 70))
    recipe = dataclasses.replace(
        ENHANCE, min_crop_share=window, exposure_jitter=0.0, identity_share=0.0, synthetic_share=0.0
    )
    data = PhotoPairs(photos, photos, (0, 1))
    task = Enhancement(recipe, data, data)
    turned = set()
    for seed in range(16):
        torch.manual_seed(seed)
        batch = task.batch([0, 1, 2, 3], CPU)
        shapes = [(4, 48, 48, 3)] * 2 + [(4, 4), (8, 32, 32, 6), (8, BRIGHTNESS_GRID, BRIGHTNESS_GRID, 3), (8,)]
        assert [tuple(part.shape) for part in batch] == shapes
        given, wanted, whole, wanted_whole, box = task._augment(batch, size)
        assert given.shape == (4, 3, size, size)
        assert torch.equal(given, wanted)
        assert (F.adaptive_avg_pool2d(whole[:, :3], BRIGHTNESS_GRID) - wanted_whole).abs().max() < 0.6 / 255
        assert (box[:, :2] >= 0).all()
        assert (box[:, :2] < box[:, 2:]).all()
        assert (box[:, 2:] <= 1 + 1e-6).all()
        error = (sample(whole[:4, :3], box, size) - given)[..., 3:-3, 3:-3]  # a cell's center lies inside the border
        assert error.abs().max() < 1.5 / 255
        down, right = (float(given[0].diff(dim=d)[channel].mean()) for d, channel in ((1, 0), (2, 1)))
        turned.add((np.sign(round(255 * down)), np.sign(round(255 * right))))
    assert len(turned) == 5, "four flips, and transposed"


def test_examples_are_of_all_kinds_in_their_shares(tmp_path: Path) -> None:
    bright, dark = np.full((64, 64, 3), 200, np.uint8), np.full((64, 64, 3), 90, np.uint8)
    normal, low = keep_arrays(tmp_path, bright, bright), keep_arrays(tmp_path, dark)
    recipe = dataclasses.replace(ENHANCE, exposure_only_samples=0, identity_share=0.2, synthetic_share=0.3)
    task = Enhancement(recipe, PhotoPairs(low, normal, (None, 0)), PhotoPairs(low, low, (0,)))
    assert task.examples == 4
    torch.manual_seed(0)
    given, wanted, _, whole, wanted_whole, kinds = task.batch([0] * 100 + [1] * 100, CPU)
    shares = [[float((half == kind).float().mean()) for kind in Kind] for half in kinds.chunk(2)]
    assert shares[0] == pytest.approx([0, 0.2, 0.8], abs=0.12)  # without a partner
    assert shares[1] == pytest.approx([0.5, 0.2, 0.3], abs=0.12)
    assert (wanted == 200).all()
    assert (given[kinds == Kind.PAIR] == 90).all()
    assert (given[kinds == Kind.BRIGHT] == 200).all()
    assert (given[kinds == Kind.SYNTHETIC].float().mean((1, 2, 3)) < 195).all()
    expected = torch.from_numpy(np.stack([make_thumbnail(p.numpy(), 32) for p in given]))
    flat = kinds != Kind.SYNTHETIC  # the wholes are larger than the crops, and these are all alike
    assert torch.allclose(whole[flat], expected[flat], atol=1e-6)
    assert (wanted_whole == 200).all()


def test_only_pairs_are_exposed_otherwise_and_never_their_truth(tmp_path: Path) -> None:
    photo = np.full((64, 64, 3), 60, np.uint8)
    photos = keep_arrays(tmp_path, photo)
    recipe = dataclasses.replace(
        ENHANCE, exposure_only_samples=2, identity_share=0.5, synthetic_share=0.0, exposure_jitter=1.0
    )
    task = Enhancement(recipe, PhotoPairs(photos, photos, (0,)), PhotoPairs(photos, photos, (0,)))
    torch.manual_seed(0)
    batch = task.batch([0] * 40, CPU)
    given, wanted, whole, wanted_whole, _ = task._augment(batch, 48)
    light, pair = whole[:, :3].mean((1, 2, 3)) / (60 / 255), batch[5] == Kind.PAIR
    assert len(light) == len(pair) == 120
    assert torch.allclose(light[~pair], torch.ones(()), atol=1e-6)
    assert 0.5 <= light[pair].min() < 0.8 < 1.25 < light[pair].max() <= 2
    assert torch.allclose(given.mean((1, 2, 3)) / (60 / 255), light[:40], atol=1e-5)
    for truth in (wanted, wanted_whole):
        assert torch.allclose(truth, torch.full((), 60 / 255))


def test_charbonnier_is_its_formula() -> None:
    x, y = torch.rand(3, 4, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    expected = np.mean([((a - b) ** 2 + 1e-6) ** 0.5 for a, b in zip(x.flatten(), y.flatten(), strict=True)])
    assert float(charbonnier(x, y)) == pytest.approx(expected)


def test_the_error_is_a_hundredth_of_each_photos_decibels_down_to_a_floor() -> None:
    x, y = torch.rand(3, 3, 8, 8, dtype=torch.float64), torch.rand(3, 3, 8, 8, dtype=torch.float64)
    expected = [np.log10(1 + np.mean((a - b).numpy() ** 2) / 3e-4) / 10 for a, b in zip(x, y, strict=True)]
    assert float(log_error(x, y)) == pytest.approx(np.mean(expected))
    assert float(log_error(x, x)) == 0
    worse, better = (float(log_error(x, x + step)) for step in (0.2, 0.1))
    assert 100 * (worse - better) == pytest.approx(20 * np.log10(2), abs=0.2)


def test_the_logarithm_of_the_error_of_what_is_restored_weighs_as_the_recipe_says(tmp_path: Path) -> None:
    photos, net = keep_arrays(tmp_path, coordinates(64, 80), coordinates(96, 70)), make_enhancer()
    data, losses = PhotoPairs(photos, photos, (0, 1)), []
    for weight in (0.0, 2.0):
        task = Enhancement(dataclasses.replace(ENHANCE, psnr=weight), data, data)
        torch.manual_seed(0)
        batch = task.batch([0, 1], CPU)
        torch.manual_seed(1)
        losses.append(task.loss(net, batch, 48))
    torch.manual_seed(1)
    x, wanted, whole, wanted_whole, box = task._augment(batch, 48)
    restored, *_ = net(x, whole, box, wanted_whole[:2].mean((1, 2, 3), keepdim=True))
    assert torch.allclose(losses[1] - losses[0], 2 * log_error(restored, wanted), rtol=1e-3)
