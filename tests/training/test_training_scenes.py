"""What segmenters train on: photo and mask move alike, and losses are their formulas."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_data import TABLE
from helpers.tiny_training import SEGMENT, keep_arrays
from numpy.typing import NDArray

from attnimg.labels import VOID
from attnimg.models.preprocessing import Preprocessing
from attnimg.training.recipe import SceneAugmentation
from attnimg.training.run import NORMALIZATION
from attnimg.training.tasks.segmentation import (
    SceneAugment,
    Segmentation,
    count_pixels,
    cut_window,
    lovasz_softmax,
    weigh_classes,
)

CPU = torch.device("cpu")
PREPROCESSING = Preprocessing("shortest", 64, *NORMALIZATION)


def test_photo_and_mask_move_alike(tmp_path: Path) -> None:
    y, x = np.mgrid[:60, :90]
    photo = np.stack([2 * y + 20, 2 * x + 20, 0 * x + 90, (y // 12 + x // 18) % 3], -1).astype(np.uint8)
    photo[..., 2] = 60 * photo[..., 3] + 40  # blue tells the class
    photos = keep_arrays(tmp_path, photo)
    recipe = dataclasses.replace(SEGMENT, augmentation=SceneAugmentation(color=0.0))
    task = Segmentation(recipe, photos, photos, TABLE, PREPROCESSING)
    flipped, covered = set(), []
    for seed, size in ((0, 64), (1, 48), (2, 64)):
        torch.manual_seed(seed)
        windows = task.batch([0] * 8, CPU)
        assert {w.shape[2] for w in windows} == {4}
        assert all(32 <= len(w) <= 128 for w in windows)
        images, masks = task.augment(windows, size, size / 64)
        assert images.shape == (8, 3, size, size)
        assert masks.shape == (8, size, size)
        known = masks != VOID
        blue = ((255 * images[:, 2] - 40) / 60).round()
        assert float((blue == masks)[known].float().mean()) > 0.9, "all but the pixels along the edges"
        covered.append(float(known.float().mean()))
        assert set(masks.unique().tolist()) <= {0, 1, 2, VOID}
        right = images[:, 1].diff(dim=2)
        inside = known[..., 1:] & known[..., :-1]
        flipped |= {np.sign(round(1e3 * float(r[k].median()))) for r, k in zip(right, inside, strict=True)}
    assert {-1, 1} <= flipped
    assert 0.3 < np.mean(covered) < 0.95, "where a window is larger than its photo there is void"


def test_windows_reach_every_corner_and_pad_with_what_lies_beyond() -> None:
    photo = np.arange(5 * 9 * 4, dtype=np.uint8).reshape(5, 9, 4) % 200
    beyond = np.array([201, 202, 203, VOID], np.uint8)
    torch.manual_seed(0)
    seen = set()
    for _ in range(200):
        window = cut_window(photo, 7, beyond)
        rows = np.flatnonzero((window[..., 3] != VOID).any(1))
        assert len(rows) == 5
        assert (window[[r for r in range(7) if r not in rows]] == beyond).all()
        columns = [c for c in range(3) if np.array_equal(window[rows], photo[:, c : c + 7])]
        assert len(columns) == 1
        seen.add((int(rows[0]), columns[0]))
    assert seen == {(top, left) for top in range(3) for left in range(3)}


def test_the_colors_change_and_the_mask_does_not() -> None:
    torch.manual_seed(0)
    window = torch.randint(0, 256, (32, 32, 4), dtype=torch.uint8)
    window[..., 3] %= 3
    augment = SceneAugment(SceneAugmentation(flip=0.0, color=0.4, hue=0.1))
    images, masks = augment((window,) * 8, 32, 1.0)
    assert torch.equal(masks, window[..., 3].long().expand(8, -1, -1))
    changed = (images - window[..., :3].permute(2, 0, 1) / 255).abs().mean((1, 2, 3))
    assert (changed > 0.01).sum() >= 4
    assert 0 <= images.min() < images.max() <= 1


def test_rare_classes_weigh_more_within_bounds(tmp_path: Path) -> None:
    photo = np.zeros((20, 100, 4), np.uint8)
    photo[0, :, 3] = 1
    photo[1, :5, 3] = 2
    photo[10:, :, 3] = VOID
    empty = np.zeros((20, 100, 4), np.uint8)  # shows one class only, and so tells nothing of the others' frequency
    counts = count_pixels(keep_arrays(tmp_path, photo, empty), 4)
    assert counts.tolist() == [[895, 100, 5, 0], [2000, 0, 0, 0]]
    frequency = np.array([(895 + 2000) / 3000, 0.1, 0.005])
    for balance in (0.0, 0.5):
        expected = (np.median(frequency) / frequency) ** balance
        assert np.allclose(weigh_classes(counts, balance).numpy(), [*expected, 1])
    assert weigh_classes(counts, 1.0).tolist() == pytest.approx([0.1 * 3000 / 2895, 1, 10, 1])


def test_the_cross_entropy_is_the_weighted_mean_and_void_has_no_part(tmp_path: Path) -> None:
    photos = keep_arrays(tmp_path, np.zeros((4, 4, 4), np.uint8))
    task = Segmentation(SEGMENT, photos, photos, TABLE, PREPROCESSING)
    task.weights = torch.tensor([1.0, 2.0, 4.0])
    logits, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    masks[0, :2] = VOID
    total = weight = 0.0
    for n, i, j in np.ndindex(2, 4, 4):
        if (c := int(masks[n, i, j])) != VOID:
            total -= float(task.weights[c] * logits[n, :, i, j].log_softmax(0)[c])
            weight += float(task.weights[c])
    assert float(task._cross_entropy(logits, masks)) == pytest.approx(total / weight, rel=1e-5)
    assert float(task._cross_entropy(logits, torch.full_like(masks, VOID))) == 0


def reference_lovasz(found: NDArray[np.float64], masks: NDArray[np.int64]) -> float:
    """The Lovász extension of the Jaccard loss, by its definition: sums over chains of sets of wrong pixels."""

    def jaccard_loss(wrong: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
        there = truth.sum()
        return float(wrong.sum() / (there + (wrong & ~truth).sum()))

    losses = []
    for class_ in np.unique(masks):
        truth = masks == class_
        errors = np.abs(truth - found[class_])
        order = np.argsort(-errors)
        wrong, before, loss = np.zeros(len(errors), bool), 0.0, 0.0
        for pixel in order:
            wrong[pixel] = True
            now = jaccard_loss(wrong, truth)
            loss, before = loss + errors[pixel] * (now - before), now
        losses.append(loss)
    return float(np.mean(losses))


def test_lovasz_softmax_is_its_definition_and_void_has_no_part() -> None:
    torch.manual_seed(0)
    found = torch.randn(2, 4, 5, 6, dtype=torch.float64).softmax(1).float()
    masks = torch.randint(0, 3, (2, 5, 6))  # the fourth class does not occur
    masks[1, 3:] = VOID
    known = (masks != VOID).numpy()
    expected = reference_lovasz(found.permute(1, 0, 2, 3).double().numpy()[:, known], masks.numpy()[known])
    assert float(lovasz_softmax(found, masks)) == pytest.approx(expected, abs=1e-5)
    certain = torch.nn.functional.one_hot(masks.clamp(max=3), 4).permute(0, 3, 1, 2).float()
    assert float(lovasz_softmax(certain, masks)) == pytest.approx(0, abs=1e-6)
    assert float(lovasz_softmax(found, torch.full_like(masks, VOID))) == 0


def test_a_batch_without_a_class_trains_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    photos = keep_arrays(tmp_path, np.zeros((32, 32, 4), np.uint8))
    task = Segmentation(SEGMENT, photos, photos, TABLE, PREPROCESSING)
    windows = (torch.full((64, 64, 4), VOID, dtype=torch.uint8),) * 2

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x[:, :, ::2, ::2] * scale, x[:, :, ::16, ::16] * scale

    scale = torch.ones((), requires_grad=True)
    loss = task.loss(Net(), windows, 64)
    loss.backward()
    assert float(loss.detach()) == 0
    assert scale.grad == 0
