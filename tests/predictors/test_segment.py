"""The segmenting predictor: sizes, windows, mirroring, batches, depths."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from helpers.by_color import COLORS, HEADER, blocks, by_color
from helpers.paths import ROOT
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attnimg.models import checkpoints
from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.segmenter import SegmenterConfig
from attnimg.nets.segmenter import SegmenterNet as Net
from attnimg.predictors.segment import (
    ALIGNMENT,
    MULTIPLE,
    Segmenter,
    blend_weights,
    load_segmenter,
    resized_size,
    window_slices,
)

SAMPLES = sorted((ROOT / "samples").glob("*.jpg"))
street = pytest.mark.skipif(
    "street" not in [p.stem for p in checkpoints.available()], reason="the model street is not there"
)


def random_net(**options: Any) -> Segmenter:
    torch.manual_seed(0)
    net = Net(SegmenterConfig(classes=4, backbone=BackboneConfig(widths=(8, 8, 16), depths=(1, 1, 1), heads=2)))
    return Segmenter(net, HEADER, model="random", device="cpu", **options)


def agreement(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    assert a.shape == b.shape
    return float((a == b).mean())


@pytest.mark.parametrize("size", [(64, 96), (64, 64), (96, 64)])
@pytest.mark.parametrize("across", [False, True])
def test_every_pixel_gets_its_class(size: tuple[int, int], across: bool) -> None:
    stripe = blocks(1, max(size))[0]  # of two classes nothing between them is a third
    mask = np.broadcast_to(stripe[: size[1]], size) if across else np.broadcast_to(stripe[: size[0], None], size)
    found = by_color()(COLORS[mask])
    assert found.dtype == np.uint8
    assert np.array_equal(found, mask)
    assert np.array_equal(by_color()(Image.fromarray(COLORS[mask])), mask)


@pytest.mark.parametrize("resize", ["auto", 128, None])
@pytest.mark.parametrize("size", [(200, 310), (61, 83), (333, 210), (40, 50)])
def test_masks_have_the_photos_size(size: tuple[int, int], resize: Any) -> None:
    mask = blocks(*size, side=20)
    assert agreement(by_color(resize=resize)(COLORS[mask]), mask) > (0.85 if resize == "auto" else 0.93)


@pytest.mark.parametrize("resize", ["auto", None])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 2000), (2000, 7), (3, 3)])
def test_odd_sizes(size: tuple[int, int], resize: Any) -> None:
    photo = np.broadcast_to(COLORS[2], (*size, 3))
    assert (by_color(resize=resize)(photo) == 2).all()
    segmenter = random_net(resize=resize)
    (outcome,) = segmenter.predict([segmenter.prepare(photo)], attention=True, scores=True)
    assert outcome.mask.shape == size
    assert outcome.scores is not None
    assert np.isfinite(outcome.scores).all()


def test_a_photo_that_was_decoded_smaller_has_the_same_mask_at_its_own_size() -> None:
    mask = blocks(256, 384, side=64)
    segmenter = by_color()
    small = segmenter.prepare(COLORS[mask[::2, ::2]], (384, 256))
    assert small.pixels.shape == segmenter.prepare(COLORS[mask]).pixels.shape
    assert agreement(segmenter.predict([small])[0].mask, mask) > 0.97


@pytest.mark.parametrize(
    ("size", "shortest", "seen"),
    [
        ((480, 360), 360, (480, 360)),
        ((4000, 3000), 360, (480, 360)),
        ((3000, 4000), 360, (360, 480)),
        ((240, 180), 360, (480, 360)),
        ((12000, 1000), 360, (4320, 360)),
        ((9000, 7), 360, (9000, 8)),
        ((1, 1), 360, (360, 360)),
        ((1013, 757), None, (1016, 760)),
        ((1, 1), None, (8, 8)),
    ],
)
def test_how_large_photos_are_seen(size: tuple[int, int], shortest: int | None, seen: tuple[int, int]) -> None:
    assert resized_size(size, shortest) == seen


@pytest.mark.parametrize("window", [(768, 192), (64, 32), (96, 32)])
def test_windows_cover_all_and_overlap(window: tuple[int, int]) -> None:
    for length in range(MULTIPLE, 4000, 5 * MULTIPLE):
        found = list(window_slices(length, *window))
        assert (found[0].start, found[-1].stop) == (0, length)
        for part, following in pairwise(found):
            assert part.stop - following.start >= window[1]
            assert part.start < following.start
        assert all(part.start % ALIGNMENT == 0 and part.stop - part.start < window[0] + ALIGNMENT for part in found)
        assert (blend_weights(found[0], length, window[1]) > 0).all()


def test_windows_leave_no_trace() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (200, 344, 3), dtype=np.uint8)
    whole, parts = (
        segmenter.predict([segmenter.prepare(photo)], attention=True, scores=True)[0]
        for segmenter in (by_color(resize=None), by_color(resize=None, window=96, overlap=32))
    )
    assert np.allclose(parts.scores, whole.scores, atol=1e-4)
    assert np.allclose(parts.attention, whole.attention, atol=1e-5)
    assert agreement(parts.mask, whole.mask) > 0.999


def test_what_windows_disagree_on_fades_from_one_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter, seen = by_color(resize=None, window=96, overlap=32), iter((0.0, 1.0))
    net = segmenter.backend._net  # type: ignore[attr-defined]
    monkeypatch.setattr(net, "forward", lambda x: torch.full((1, 4, 16, x.shape[3] // 4), next(seen)))
    (outcome,) = segmenter.predict([segmenter.prepare(np.zeros((64, 160, 3), np.uint8))], scores=True)
    assert outcome.scores is not None
    row = outcome.scores[0, 0]
    assert (row[:16].max(), row[24:].min()) == (0, 1)
    assert np.diff(row[15:25]).min() > 0
    assert np.diff(row).max() < 0.2


def test_mirrored_photos_have_mirrored_masks() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    segmenter = random_net(tta=True)
    there, back = (
        segmenter.predict([segmenter.prepare(np.ascontiguousarray(p))], scores=True)[0].scores
        for p in (photo, photo[:, ::-1])
    )
    assert there is not None
    assert back is not None
    assert np.allclose(there, back[..., ::-1], atol=1e-5)
    plain = random_net()
    assert not np.allclose(there, plain.predict([plain.prepare(photo)], scores=True)[0].scores, atol=1e-4)


@pytest.mark.slow
@street
def test_batch_composition_changes_no_pixel() -> None:
    segmenter = load_segmenter(device="cpu", resize=240)
    photos = [Image.open(path).convert("RGB").resize((320, 240)) for path in SAMPLES]
    prepared = [segmenter.prepare(np.asarray(photo)) for photo in photos]
    together = segmenter.predict(prepared, attention=True, scores=True)
    for size in (1, 4):
        parts = [prepared[i : i + size] for i in range(0, len(prepared), size)]
        apart = [outcome for part in parts for outcome in segmenter.predict(part, attention=True, scores=True)]
        for one, other in zip(together, apart, strict=True):
            assert np.array_equal(one.mask, other.mask)
            assert np.array_equal(one.scores, other.scores)
            assert np.array_equal(one.attention, other.attention)


def test_a_batch_is_its_photos() -> None:
    photos = [COLORS[blocks(64, 96, seed)] for seed in range(9)]
    segmenter = random_net(batch_pixels={"cpu": 1 << 20})
    prepared = [segmenter.prepare(photo) for photo in photos]
    prepared[3] = replace(prepared[3], size=(192, 128))
    together = segmenter.predict(prepared, attention=True, scores=True)
    for one, outcome in zip(prepared, together, strict=True):
        (alone,) = segmenter.predict([one], attention=True, scores=True)
        assert np.allclose(alone.scores, outcome.scores, atol=1e-4)
        assert np.allclose(alone.attention, outcome.attention, atol=1e-5)
        assert agreement(alone.mask, outcome.mask) > 0.999
    assert together[3].mask.shape == (128, 192)
    assert segmenter.predict([]) == []
    found = segmenter(photos)
    assert np.array_equal(found[0], segmenter(photos[0]))


def test_too_little_memory_for_a_batch_is_said_as_python_does_and_fewer_photos_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = random_net(batch_pixels={"cpu": 1 << 20})
    prepared = [segmenter.prepare(COLORS[blocks(64, 96, seed)]) for seed in range(4)]
    plenty = segmenter.predict(prepared, attention=True)
    net = segmenter.backend._net  # type: ignore[attr-defined]
    forward = net.forward

    def scarce(x: Tensor) -> Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(x)

    monkeypatch.setattr(net, "forward", scarce)
    with pytest.raises(MemoryError):
        segmenter.predict(prepared, attention=True)
    assert not any(module._forward_hooks for module in net.modules())
    for half in (slice(0, 2), slice(2, 4)):
        for one, other in zip(segmenter.predict(prepared[half], attention=True), plenty[half], strict=True):
            assert agreement(one.mask, other.mask) > 0.999


def test_only_what_is_asked_for_is_returned() -> None:
    segmenter = by_color()
    prepared = [segmenter.prepare(COLORS[blocks(64, 64)])]
    (plain,), (full,) = segmenter.predict(prepared), segmenter.predict(prepared, attention=True, scores=True)
    assert (plain.scores, plain.attention) == (None, None)
    assert full.attention is not None
    assert np.allclose(full.attention, 0.5), "uniform attention"
    assert full.scores is not None
    assert full.scores.shape == (4, 16, 16)
    assert np.array_equal(plain.mask, full.mask)


def test_16_bits_are_seen_as_8() -> None:
    photo = COLORS[blocks(70, 90)]
    assert np.array_equal(by_color()(photo.astype(np.uint16) * 257), by_color()(photo))


@pytest.mark.slow
@street
def test_hiding_what_is_bright_in_the_map_changes_the_classes_of_the_rest_more() -> None:
    segmenter = load_segmenter(device="cpu")
    changes: dict[str, list[float]] = {"bright": [], "dark": []}
    for path in SAMPLES:
        photo = np.asarray(Image.open(path).convert("RGB").resize((480, 360)))
        (seen,) = segmenter.predict([segmenter.prepare(photo)], attention=True)
        assert seen.attention is not None
        rank = seen.attention.ravel().argsort().argsort().reshape(seen.attention.shape)
        hidden = {"dark": rank < rank.size // 4, "bright": rank >= rank.size - rank.size // 4}
        for name, cells in hidden.items():
            mask = np.asarray(Image.fromarray(cells).resize((480, 360), Image.Resampling.NEAREST))
            covered = np.where(mask[..., None], photo.mean((0, 1)), photo).astype(np.uint8)
            changes[name].append(float((segmenter(covered) != seen.mask)[~mask].mean()))
    assert np.mean(changes["bright"]) > np.mean(changes["dark"])
