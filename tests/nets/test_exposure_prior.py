"""The distribution over exposures, its loss and its mean, against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.tiny_nets import noise

from attnimg.nets.enhancer.exposure import MEDIUM, brighten, solve_gain
from attnimg.nets.enhancer.exposure_prior import (
    BINS,
    MAX_SHIFT,
    MIN_SHIFT,
    TARGET_SIGMA,
    ExposurePrior,
    cross_entropy,
    expected_exposure,
    find_shift,
    shift_bins,
)

CHANGES = np.linspace(MIN_SHIFT, MAX_SHIFT, BINS)


def bell(center: float, deviation: float = 0.2) -> np.ndarray:
    height = np.exp(-0.5 * ((CHANGES - center) / deviation) ** 2)
    return height / height.sum()


def to_odds(*rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(rows)).float().clamp(min=1e-9).log()


def test_before_training_the_medium_exposure_is_the_likeliest_whatever_the_context() -> None:
    odds, small = ExposurePrior(5)(torch.randn(3, 5)), 0.3 * noise(3, 32, 32)
    assert odds.shape == (3, BINS)
    assert torch.allclose(odds.exp().sum(1), torch.ones(3))
    assert torch.equal(odds[0], odds[1])
    assert torch.allclose(expected_exposure(odds, small), torch.tensor(MEDIUM), atol=5e-3)


@pytest.mark.parametrize("change", [-1.5, -0.4, 0.0, 0.7])
def test_a_change_is_found_from_the_exposure_that_it_leads_to(change: float) -> None:
    small = 0.3 * noise(3, 32, 32)
    gain = 1 + (solve_gain(small, MEDIUM).exp() - 1) * math.exp(change)
    exposure = brighten(small, gain).mean((1, 2, 3), keepdim=True)
    assert torch.allclose(find_shift(small, exposure), torch.tensor(change), atol=5e-3)


def test_a_change_stays_within_what_odds_are_of_and_is_none_where_no_light_is_lacking() -> None:
    small = noise(2, 32, 32)
    assert torch.equal(find_shift(small, small.mean((1, 2, 3), keepdim=True) / 2), torch.full((2,), MIN_SHIFT))
    assert torch.equal(find_shift(small, 0.99), torch.full((2,), MAX_SHIFT))
    assert torch.equal(find_shift(1 - small, 0.5), torch.zeros(2))


def test_cross_entropy_is_its_formula_and_lowest_where_the_odds_are_right() -> None:
    odds = to_odds(bell(-1.0), bell(0.5))
    expected = [
        -(bell(c, TARGET_SIGMA) * np.log(np.clip(bell(o), 1e-9, None))).sum() for c, o in ((-0.8, -1.0), (0.4, 0.5))
    ]
    assert float(cross_entropy(odds, torch.tensor([-0.8, 0.4]))) == pytest.approx(np.mean(expected), rel=1e-4)
    right, near, far = (float(cross_entropy(odds[:1], torch.tensor([c]))) for c in (-1.0, -0.7, 0.5))
    assert right < near < far


def test_the_exposure_taken_is_that_of_the_mean_change() -> None:
    small, likely = 0.2 * noise(1, 32, 32), 0.5 * bell(-0.9, 0.3) + 0.5 * bell(0.3, 0.5)
    gain = 1 + (solve_gain(small, MEDIUM).exp() - 1) * math.exp((likely * CHANGES).sum())
    expected = float((gain * small / (1 + (gain - 1) * small)).mean())
    assert float(expected_exposure(to_odds(likely), small)) == pytest.approx(expected, abs=1e-4)


def test_the_odds_of_several_views_lean_to_what_all_hold_likely_without_a_leap() -> None:
    small = 0.1 * noise(1, 32, 32).expand(101, -1, -1, -1)
    odds = to_odds(*((1 - share) * bell(-1.5) + share * bell(0.5) for share in np.linspace(0, 1, 101)))
    one, four = expected_exposure(odds, small).flatten(), expected_exposure(4 * odds, small).flatten()
    assert four.diff().min() > -1e-6  # float32 rounds
    assert four.diff().max() < 0.05
    assert four[30] - four[0] < 0.2 * (four[100] - four[0]) < one[30] - one[0]
    assert four[70] - four[0] > 0.8 * (four[100] - four[0]) > one[70] - one[0]


def test_a_bright_photo_keeps_its_exposure_whatever_the_odds() -> None:
    small = 1 - noise(2, 32, 32)
    own = small.mean((1, 2, 3))
    assert torch.allclose(expected_exposure(to_odds(bell(0.9), bell(-2.0)), small).flatten(), own, atol=1e-6)


def test_odds_are_shifted_by_interpolation_and_go_on_at_their_ends() -> None:
    odds, by = torch.randn(4, BINS), torch.tensor([0.0, 0.25, -0.6, 30.0])
    shifted = shift_bins(odds, by)
    for row in range(4):
        expected = np.interp(CHANGES - by[row].item(), CHANGES, odds[row].numpy())
        assert np.allclose(shifted[row].numpy(), expected, atol=1e-4)
    assert torch.equal(shifted[0], odds[0])
