"""The classifying predictor: views, scores, attention over the whole picture."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from helpers.tiny_nets import CLASSIFIER, CLASSIFIER_HEADER, random_classifier
from PIL import Image
from torch import nn

import attnimg
from attnimg.attention import mechanisms
from attnimg.errors import Unavailable, UsageError
from attnimg.images.square import crop_square
from attnimg.models import checkpoints
from attnimg.models.device import prepare_net
from attnimg.nets.classifier import ClassifierNet as Net
from attnimg.predictors.classify import Prepared, load_classifier

SAMPLES = sorted(p for p in (ROOT / "samples").iterdir() if p.suffix in {".jpg", ".png"})


def photo(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.slow
def test_batch_composition_changes_no_score() -> None:
    classifier = load_classifier(device="cpu") if checkpoints.available() else random_classifier()
    pictures = [classifier.prepare(photo(80 + 7 * i, 64 + i, seed=i)) for i in range(13)]
    together = classifier.predict(pictures)
    for size in (1, 4, 6):
        apart = [s for i in range(0, 13, size) for s in classifier.predict(pictures[i : i + size])]
        difference = max(np.abs(a.probabilities - b.probabilities).max() for a, b in zip(together, apart, strict=True))
        assert difference < 1e-4


def test_scores_are_probabilities_best_first() -> None:
    classifier = random_classifier()
    (scores,) = classifier.predict([classifier.prepare(photo(50, 40))])
    assert scores.probabilities.sum() == pytest.approx(1, abs=1e-5)
    best = classifier.best(scores, topk=3)
    assert [p.score for p in best] == sorted((p.score for p in best), reverse=True)
    assert classifier.best(scores, topk=2) == best[:2]
    assert all(p.score >= best[1].score for p in classifier.best(scores, 3, min_score=best[1].score))
    assert classifier.best(scores, 3, min_score=1.1) == ()
    assert all(type(p.score) is float for p in best)


def test_views_lie_along_the_longer_side() -> None:
    wide, tall = photo(96, 32), photo(32, 96)
    classifier = random_classifier(views=3)
    prepared = classifier.prepare(wide)
    assert prepared.views.shape == (3, 32, 32, 3)
    for i, view in enumerate(prepared.views):
        assert np.array_equal(view, wide[:, 32 * i : 32 * i + 32])
    assert np.array_equal(classifier.prepare(tall).views[2], tall[64:])
    assert len(classifier.prepare(photo(40, 40)).views) == 1
    assert np.array_equal(random_classifier().prepare(wide).views[0], wide[:, 32:64])


def test_several_views_average_their_probabilities() -> None:
    classifier, wide = random_classifier(views=3), photo(96, 32)
    prepared = classifier.prepare(wide)
    single = classifier.predict([Prepared(v[None], (0.5,), (32, 32)) for v in prepared.views])
    (scores,) = classifier.predict([prepared])
    assert np.allclose(scores.probabilities, np.mean([s.probabilities for s in single], 0), atol=1e-6)


def test_attention_covers_the_picture_and_says_where_no_view_looked() -> None:
    classifier = random_classifier()
    scores = classifier.predict([classifier.prepare(photo(96, 32)), classifier.prepare(photo(32, 32))], attention=True)
    wide, square = (s.attention for s in scores)
    assert wide is not None
    assert square is not None
    height, width = wide.shape
    assert width == 3 * height
    assert np.isnan(wide[:, : width // 3]).all()
    assert np.isnan(wide[:, -(width // 3) :]).all()
    assert not np.isnan(wide[:, width // 3 : 2 * width // 3]).any()
    assert not np.isnan(square).any()
    assert 0 <= square.min() < square.max() <= 1
    several = random_classifier(views=3)
    (all_seen,) = several.predict([several.prepare(photo(90, 40))], attention=True)
    assert all_seen.attention is not None
    assert not np.isnan(all_seen.attention).any()


def test_too_little_memory_for_a_batch_is_said_as_python_does_and_fewer_pictures_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    classifier = random_classifier()
    prepared = [classifier.prepare(photo(50, 40, seed)) for seed in range(4)]
    plenty = classifier.predict(prepared)
    net = classifier.backend._net  # type: ignore[attr-defined]
    forward = net.forward

    def scarce(x: torch.Tensor) -> torch.Tensor:
        if len(x) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes.")
        return forward(x)

    monkeypatch.setattr(net, "forward", scarce)
    with pytest.raises(MemoryError):
        classifier.predict(prepared, attention=True)
    fewer = [*classifier.predict(prepared[:2]), *classifier.predict(prepared[2:])]
    for one, other in zip(fewer, plenty, strict=True):
        assert np.allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_attention_changes_no_score() -> None:
    classifier = random_classifier()
    prepared = [classifier.prepare(photo(50, 40, seed)) for seed in range(3)]
    for a, b in zip(classifier.predict(prepared), classifier.predict(prepared, attention=True), strict=True):
        assert np.array_equal(a.probabilities, b.probabilities)
        assert a.attention is None


def test_folding_batch_norms_changes_nothing() -> None:
    torch.manual_seed(0)
    net = Net(CLASSIFIER)
    net.train()(torch.randn(8, 3, 32, 32))  # statistics other than the initial ones
    net.eval()
    x = torch.randn(2, 3, 32, 32)
    folded = prepare_net(net, torch.device("cpu"))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    assert torch.allclose(net(x), folded(x), atol=1e-5)
    assert mechanisms(folded) == mechanisms(net)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (7, 3), (33, 64)])
def test_any_size_is_classified(size: tuple[int, int]) -> None:
    classifier = random_classifier(views=2)
    (scores,) = classifier.predict([classifier.prepare(photo(*size))], attention=True)
    assert np.isfinite(scores.probabilities).all()


def test_a_deep_picture_scores_like_its_eight_bits() -> None:
    pixels = photo(48, 48)
    assert np.array_equal(crop_square(pixels.astype(np.uint16) * 257, 48), pixels)


def test_scaling_down_averages() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, ::2] = 200
    assert (crop_square(pixels, 32) == 100).all()


def test_python_api_takes_images_arrays_and_lists() -> None:
    classifier, pixels = random_classifier(), photo(50, 40)
    one = classifier(Image.fromarray(pixels))
    assert one == classifier(pixels)
    several = classifier([pixels, pixels], topk=2)
    assert [[p.id for p in found] for found in several] == [[p.id for p in one[:2]]] * 2
    assert several[0][0].score == pytest.approx(one[0].score, abs=1e-5)
    assert classifier([]) == []
    with pytest.raises(UsageError, match="classify"):
        attnimg.load("paint")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"device": "cuda:99"}, Unavailable),
        ({"device": "toaster"}, UsageError),
        ({"precision": "fp8"}, UsageError),
        ({"model": "no-such-model"}, Unavailable),
    ],
)
def test_what_is_not_there_is_said(options: dict[str, str], error: type[Exception], tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = {**CLASSIFIER_HEADER, "task": "classify", "architecture": {"name": "classifier", **asdict(CLASSIFIER)}}
    checkpoints.write(path, header, Net(CLASSIFIER).state_dict())
    with pytest.raises(error):
        load_classifier(**{"model": str(path), **options})


def test_a_device_that_does_not_take_the_net_is_no_fault_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(net: nn.Module, device: torch.device) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB.")

    monkeypatch.setattr(nn.Module, "to", run_out)
    with pytest.raises(Unavailable, match=r"put on cpu \(CUDA out of memory\. Tried to allocate 2 GiB\.\)"):
        prepare_net(nn.Linear(1, 1), torch.device("cpu"))


def test_weights_that_do_not_fit_their_header_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = {**CLASSIFIER_HEADER, "task": "classify", "architecture": {"name": "classifier", "classes": 3, "width": 5}}
    checkpoints.write(path, header, Net(CLASSIFIER).state_dict())
    with pytest.raises(Unavailable, match="does not fit"):
        load_classifier(str(path))
    checkpoints.write(path, {**header, "task": "enhance"}, {})
    with pytest.raises(Unavailable, match="enhance"):
        load_classifier(str(path))


def hide(view: np.ndarray, attention: np.ndarray, share: float, bright: bool) -> np.ndarray:
    """Paint a share of a view's cells, the brightest or the darkest of its map, with the view's mean color."""
    cells = attention.reshape(8, 8, 8, 8).mean((1, 3))
    order = np.argsort(cells.ravel())
    chosen = np.zeros(64, bool)
    chosen[order[-round(64 * share) :] if bright else order[: round(64 * share)]] = True
    mask = np.kron(chosen.reshape(8, 8), np.ones((8, 8), bool))
    hidden = view.copy()
    hidden[mask] = view.mean((0, 1)).astype(np.uint8)
    return hidden


def looked_at(attention: np.ndarray | None) -> np.ndarray:
    """Return the part of a map that the one view covers, 64 x 64."""
    assert attention is not None
    return attention[~np.isnan(attention)].reshape(64, 64)


@pytest.mark.skipif(not checkpoints.available(), reason="no weights are shipped in this checkout")
def test_hiding_what_is_bright_changes_the_output_more_than_hiding_what_is_dark() -> None:
    classifier = load_classifier("objects", device="cpu")
    prepared = [classifier.prepare(np.asarray(Image.open(p).convert("RGB"))) for p in SAMPLES]
    before = classifier.predict(prepared, attention=True)

    def change(bright: bool) -> float:
        hidden = [
            classifier.prepare(hide(p.views[0], looked_at(s.attention), 0.25, bright))
            for p, s in zip(prepared, before, strict=True)
        ]
        pairs = zip(classifier.predict(hidden), before, strict=True)
        return float(np.mean([np.abs(a.probabilities - b.probabilities).sum() for a, b in pairs]))

    assert change(bright=True) > 1.5 * change(bright=False)
