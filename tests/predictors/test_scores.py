"""Scores brought to the photo's size: by bands as at once, as classes and as probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from attnimg.predictors import scores


@pytest.mark.parametrize("size", [(1, 1), (33, 50), (5, 3), (97, 20)])
def test_enlarging_by_bands_is_enlarging(size: tuple[int, int]) -> None:
    maps = torch.randn(3, 8, 11)
    bands = list(scores.enlarge(maps, *size, band=64))
    whole = F.interpolate(maps[None], size, mode="bilinear")[0]
    assert [rows.start for rows, _ in bands] == list(range(0, size[0], max(1, 64 // size[1])))
    assert torch.allclose(torch.cat([band for _, band in bands], 1), whole, atol=1e-5)


def test_probabilities_sum_to_one_and_agree_with_the_mask() -> None:
    logits = 3 * np.random.default_rng(0).standard_normal((4, 9, 12)).astype(np.float32)
    mask = scores.choose_best(torch.from_numpy(logits), 50, 70)
    found = scores.Probabilities(logits, 50, 70)
    every = np.stack([found.class_map(i) for i in range(4)])
    assert np.allclose(every.sum(0), 1, atol=1e-5)
    assert np.array_equal(every.argmax(0), mask)
    for chosen in ([2], [0, 3]):
        assert np.array_equal(scores.foreground_probability(logits, chosen, 50, 70) > 0.5, np.isin(mask, chosen))
    assert (scores.foreground_probability(logits, range(4), 50, 70) == 1).all()
