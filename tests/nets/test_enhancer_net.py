"""The enhancer's net: its curve, its grid and its modulation against their formulas, and what its map says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers.tiny_nets import ENHANCER, WHOLE, make_enhancer, noise
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from attnimg.attention import Recorder
from attnimg.nets.enhancer.exposure import MEDIUM, MOST_GAIN, ExposureEstimate, GainHead, brighten, rescale_gain
from attnimg.nets.enhancer.net import MULTIPLE, EnhancerConfig, EnhancerNet, FiLM, resample, shrink, spline

EXPOSURE = torch.tensor(0.6)


def test_the_curve_is_the_formula_and_keeps_zero_one_and_order() -> None:
    x = torch.linspace(0, 1, 4001, dtype=torch.float64)
    for gain in (1.0, 1.5, 8.0, MOST_GAIN):
        y = brighten(x, torch.tensor(gain, dtype=torch.float64))
        expected = np.array([gain * v / (1 + (gain - 1) * v) for v in x.tolist()])
        assert np.allclose(y.numpy(), expected, rtol=0, atol=1e-15)
        assert y[[0, -1]].tolist() == [0, 1]
        assert (y.diff() > 0).all()
        assert (y >= x).all()
        slope = float(y[1] / x[1])
        assert slope == pytest.approx(gain / (1 + (gain - 1) * float(x[1])), rel=1e-12)
    assert torch.equal(brighten(x, torch.ones(1, dtype=torch.float64)), x)


def b_spline(t: float, degree: int = 2) -> float:
    """The cardinal B-spline centered on 0, by de Boor's recursion."""

    def basis(u: float, n: int) -> float:  # knots at 0, 1, ... n + 1
        if n == 0:
            return float(0 <= u < 1)
        return (u * basis(u, n - 1) + (n + 1 - u) * basis(u - 1, n - 1)) / n

    return basis(t + (degree + 1) / 2, degree)


@pytest.mark.parametrize(("begin", "end", "length"), [(0.0, 1.0, 48), (0.3, 0.45, 16), (0.8, 1.3, 32), (0.0, 16.0, 16)])
def test_the_grid_is_a_quadratic_b_spline_whose_border_goes_on(begin: float, end: float, length: int) -> None:
    cells = 5
    ends = (torch.tensor([v], dtype=torch.float64) for v in (begin, end))
    (weights,) = spline(*ends, length, cells)
    expected = np.zeros((length, cells))
    for i in range(length):
        place = min(1, begin + (end - begin) * (i + 0.5) / length) * cells - 0.5
        for cell in range(-3, cells + 3):
            expected[i, min(max(cell, 0), cells - 1)] += b_spline(place - cell)
    assert np.allclose(weights.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("begin", "end"), [(0.0, 1.0), (-3.0, 5.0), (7.0, 9.0), (0.0, 900.0), (0.5, 0.5001)])
@pytest.mark.parametrize("cells", [1, 2, 16])
def test_rows_of_the_grid_sum_to_one_wherever_a_tile_lies(begin: float, end: float, cells: int) -> None:
    weights = spline(torch.tensor([begin]), torch.tensor([end]), 32, cells)
    assert weights.shape == (1, 32, cells)
    assert (weights >= 0).all()
    assert torch.allclose(weights.sum(2), torch.ones(1, 32), atol=1e-6)
    assert torch.allclose(shrink(weights, 16).sum(2), torch.ones(1, 2), atol=1e-6)


def test_the_grid_never_goes_beyond_its_cells_and_leaves_no_crease() -> None:
    grid = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    ends = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    weights = spline(*ends, 400, 4)
    values = resample(grid, weights, weights)
    assert values.shape == (2, 3, 400, 400)
    assert (values.amax((2, 3)) <= grid.amax((2, 3))).all()
    assert (values.amin((2, 3)) >= grid.amin((2, 3))).all()
    bend = values.diff(dim=3).diff(dim=3).abs().max()  # a crease's would be of the order of the slope, 1 / 100
    assert bend < 4 / 100**2
    assert torch.allclose(resample(grid, *[shrink(weights, 16)] * 2), F.avg_pool2d(values, 16))


def test_a_crop_gets_the_gain_that_the_whole_photo_has_there() -> None:
    net, x = make_enhancer(), noise(2, 128, 96)
    with torch.no_grad():
        seen = net.exposure(noise(2, 32, 32, 6))
        whole, _ = net.enhance(x, seen, WHOLE.expand(2, 4))
        assert (whole - x).abs().max() > 0.05
        for top, left, side in ((0, 0, 64), (32, 16, 80), (112, 80, 16)):
            box = torch.tensor([[top / 128, left / 96, (top + side) / 128, (left + side) / 96]])
            crop = (..., slice(top, top + side), slice(left, left + side))
            bright, _ = net.enhance(x[crop], seen, box.expand(2, 4))
            assert torch.allclose(bright, whole[crop], atol=1e-5)


def test_modulation_is_its_formula() -> None:
    torch.manual_seed(0)
    modulate = FiLM(6, 4).double()
    x, context = torch.randn(3, 4, 5, 2, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    assert torch.equal(modulate(x, context), x)
    nn.init.normal_(modulate.project.weight)
    nn.init.normal_(modulate.project.bias)
    made = context @ modulate.project.weight.T + modulate.project.bias
    for n, c in np.ndindex(3, 4):
        expected = (1 + made[n, c]) * x[n, c] + made[n, 4 + c]
        assert torch.allclose(modulate(x, context)[n, c], expected)


@pytest.mark.parametrize("mean", [0.2, 0.5, 0.9])
def test_gains_are_multiplied_until_the_exposure_is_reached(mean: float) -> None:
    torch.manual_seed(0)
    small, log_gain = noise(4, 32, 32), torch.rand(4, 3, 2, 2) + 0.5
    log_gain[0] = 0  # a photo that was thought bright enough

    def exposure_of(log_gain: Tensor) -> Tensor:
        return brighten(small, F.interpolate(log_gain, (32, 32), mode="bilinear").exp()).mean((1, 2, 3))

    found = rescale_gain(log_gain, small, mean)
    assert torch.allclose(exposure_of(found), small.mean((1, 2, 3)).clamp(min=mean), atol=5e-3)  # never darker
    if mean == 0.5:  # no gain is cut off
        factor = found - log_gain
        assert torch.allclose(factor, factor[:, :1, :1, :1].expand_as(factor), atol=1e-5)
    assert torch.allclose(rescale_gain(log_gain, small, 1.0), torch.tensor(MOST_GAIN).log(), atol=1e-3)
    means = torch.tensor([0.6, 0.7, 0.8, 0.9])
    assert torch.allclose(exposure_of(rescale_gain(log_gain, small, means[:, None, None, None])), means, atol=5e-3)
    seen = ExposureEstimate(log_gain, log_gain, log_gain).rescaled_to(small, mean)
    assert torch.equal(seen.log_gain, found)
    assert seen.context is seen.features is log_gain


def test_what_is_darker_than_the_darkest_pairs_still_reaches_a_bright_exposure() -> None:
    small = torch.full((1, 3, 8, 8), 4 / 255)
    gain = rescale_gain(torch.zeros(1, 3, 2, 2), small, 0.65).exp()
    assert torch.allclose(brighten(small, gain[..., :1, :1]).mean(), torch.tensor(0.65), atol=2e-3)


def test_before_training_a_photo_becomes_medium_bright_whatever_light_there_was() -> None:
    look = EnhancerNet(ENHANCER).exposure.eval()
    for light in (0.1, 0.3, 1.0):
        x = light * noise(3, 32, 32, 6)
        gain = look(x).log_gain.exp()
        assert torch.allclose(brighten(x[:, :3], gain[:, :, :1, :1]).mean((1, 2, 3)), torch.tensor(MEDIUM), atol=0.02)
    assert not look(1 - noise(3, 32, 32, 6)).log_gain.any()


def test_the_gain_is_its_formula() -> None:
    torch.manual_seed(0)
    gain = GainHead(5).double()
    for layer in (gain.here, gain.everywhere):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    features, context = torch.randn(3, 5, 4, 4, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    medium = torch.rand(3, 1, 1, 1, dtype=torch.float64)
    weights = gain.weights(features, context, medium)
    for n, color in np.ndindex(3, 3):
        here = torch.einsum("c,chw->hw", gain.here.weight[color, :, 0, 0], features[n])
        everywhere = gain.everywhere.weight[color] @ context[n] + gain.everywhere.bias[color]
        expected = 1 + (medium[n, 0].exp() - 1) * (here - here.mean() + everywhere).exp()
        assert torch.allclose(weights[n, color], expected.clamp(max=MOST_GAIN), rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_gain_never_darkens_and_is_bounded(scale: float) -> None:
    net = make_enhancer()
    with torch.no_grad():
        net.exposure.gain.everywhere.weight.mul_(scale)
        gains = torch.cat([net.exposure(noise(8, 32, 32, 6, seed)).log_gain for seed in range(4)]).exp()
    assert (gains >= 1).all()
    assert (gains <= MOST_GAIN * (1 + 1e-6)).all()
    assert gains.max() / gains.min() > 1.05


def test_a_photo_that_needs_no_light_is_left_alone() -> None:
    net, x = make_enhancer(), noise(1, 48, 32)
    with torch.no_grad():
        seen = net.exposure(noise(1, 32, 32, 6))
        bright, added = net.enhance(x, seen._replace(log_gain=torch.zeros_like(seen.log_gain)), WHOLE)
    assert torch.allclose(bright, x, atol=1e-7)
    assert not added.any()


def test_a_recorder_sees_what_the_exposure_is_judged_by_and_changes_nothing() -> None:
    net, arguments = make_enhancer(), (noise(3, 64, 48), noise(3, 32, 32, 6), WHOLE.expand(3, 4), EXPOSURE)
    with torch.no_grad():
        plain, seen, _ = net(*arguments)
        with Recorder(net) as recorder:
            recorded, again, _ = net(*arguments)
    assert torch.equal(plain, recorded)
    assert all(map(torch.equal, seen, again))
    maps = recorder.maps["exposure.attention"]
    assert maps.shape == (3, 4, 4) == seen.log_gain.shape[:1] + seen.log_gain.shape[2:]
    assert 0 <= maps.min() < 0.4 < 0.6 < maps.max() <= 1
    assert torch.allclose(recorder.maps["exposure.gain"], 1 - (-seen.log_gain).exp().mean(1), atol=1e-6)
    weights = maps / (1 - maps) / 16  # the fixed scale undone
    assert torch.allclose(weights.sum((1, 2)), torch.ones(3), atol=1e-4)


@pytest.mark.parametrize("size", [(16, 16), (16, 112), (80, 32)])
def test_any_size_of_whole_sixteens_is_enhanced(size: tuple[int, int]) -> None:
    net = make_enhancer()
    with torch.no_grad():
        y, seen, odds = net(noise(2, *size), noise(2, 32, 32, 6), WHOLE.expand(2, 4), EXPOSURE)
    assert y.shape == (2, 3, *size)
    assert y.isfinite().all()
    assert [tuple(part.shape) for part in seen] == [(2, 3, 4, 4), (2, 8), (2, 8, 4, 4)]
    assert torch.allclose(odds.exp().sum(1), torch.ones(2))
    assert all(side % MULTIPLE == 0 for side in size)


@pytest.mark.parametrize("sizes", [{"widths": (8, 16)}, {"depths": (1, 1, 1, 1)}, {"widths": ()}])
def test_another_count_of_levels_is_refused(sizes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="3 numbers each"):
        EnhancerConfig(**sizes)


def test_the_default_net_has_at_most_2_million_parameters_and_30_gmac_per_megapixel() -> None:
    net, side = EnhancerNet(EnhancerConfig()).eval(), 128

    with torch.no_grad():
        with FlopCounterMode(display=False) as looking:
            seen = net.exposure(noise(1, 128, 128, 6))
        with FlopCounterMode(display=False) as restoring:
            net.enhance(noise(1, side, side), seen, WHOLE)
    look, tile = (counter.get_total_flops() / 2 for counter in (looking, restoring))
    assert sum(p.numel() for p in net.parameters()) <= 2_000_000
    assert look + tile * 1e6 / side**2 <= 30e9


def test_half_precision_is_close_to_full() -> None:
    net, arguments = make_enhancer(), (noise(2, 64, 64), noise(2, 32, 32, 6), WHOLE.expand(2, 4), EXPOSURE)
    with torch.no_grad():
        full, seen, odds = net(*arguments)
        with torch.autocast("cpu", torch.bfloat16):
            half, rounded, likewise = net(*arguments)
    assert (likewise - odds).abs().max() < 0.1
    assert half.dtype == rounded.log_gain.dtype == torch.float32
    assert (rounded.log_gain - seen.log_gain).abs().max() < 0.1
    assert (half - full).abs().mean() < 0.03 * full.std()
    assert (half - full).abs().max() < 0.3 * full.std()


def test_each_branch_learns_from_its_own() -> None:
    net = make_enhancer().train()
    y, seen, odds = net(noise(2, 64, 48), noise(2, 32, 32, 6), WHOLE.expand(2, 4), EXPOSURE)
    y.square().mean().backward()
    assert not any(p.grad is not None for branch in (net.exposure, net.prior) for p in branch.parameters())
    odds[:, 0].mean().backward()
    assert not any(p.grad is not None for p in net.exposure.parameters())
    seen.log_gain.square().mean().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    silent += [name for name, p in net.named_parameters() if p.grad is not None and not p.grad.any()]
    assert not silent


def test_the_context_is_made_of_the_features_as_the_map_says() -> None:
    net = make_enhancer()
    with torch.no_grad(), Recorder(net, {"exposure.attention"}) as recorder:
        seen = net.exposure(noise(3, 32, 32, 6))
    maps = recorder.maps["exposure.attention"]
    weights = maps / (1 - maps) / 16
    assert torch.allclose(seen.context, torch.einsum("nhw,nchw->nc", weights, seen.features), atol=1e-5)


def test_hiding_what_is_bright_in_the_map_changes_the_judgement_more() -> None:
    net, photo = make_enhancer(dataclasses.replace(ENHANCER, thumbnail=64)), noise(8, 64, 64, 6, seed=1)
    with torch.no_grad(), Recorder(net, {"exposure.attention"}) as recorder:
        before = net.exposure(photo).context
    order = recorder.maps["exposure.attention"].flatten(1).argsort(1)  # (8, 64)

    def change(cells: Tensor) -> float:
        hidden = torch.zeros(8, 64, dtype=torch.bool).scatter(1, cells, True).reshape(8, 1, 8, 8)

        def hide(module: nn.Module, arguments: tuple[Tensor]) -> Tensor:
            (x,) = arguments
            return torch.where(hidden, x.mean((2, 3), keepdim=True), x)

        with net.exposure.attention.register_forward_pre_hook(hide), torch.no_grad():
            return float((net.exposure(photo).context - before).norm(dim=1).mean())

    assert change(order[:, 48:]) > 5 * change(order[:, :16])
