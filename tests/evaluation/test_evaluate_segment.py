"""Measuring segmentation: the figures against their definitions and the scorer, and `attnimg evaluate segment`."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers.results import Run
from helpers.tiny_data import COLORS, make_scenes
from helpers.tiny_training import SEGMENT, train_segmenter
from numpy.typing import NDArray
from PIL import Image

from attnimg.evaluation.segmentation import TOLERANCE, SegmentationMetrics, find_outlines, score_outlines
from attnimg.files.state import sha256
from attnimg.labels import VOID
from attnimg.models import checkpoints

LABELS = ["sky", "road", "car", "tram"]


def random_masks(seed: int = 0, size: tuple[int, int] = (24, 30)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a predicted mask and a true one with void, in patches; the class 3 is in neither."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 3, (2, -(-size[0] // 6), -(-size[1] // 5)), dtype=np.uint8)
    predicted, truth = np.kron(masks, np.ones((6, 5), np.uint8))[:, : size[0], : size[1]]
    truth[rng.random(size) < 0.1] = VOID
    return predicted, truth


def test_figures_are_counted_over_all_photos() -> None:
    metrics, pairs = SegmentationMetrics(LABELS), [random_masks(seed) for seed in range(3)]
    right, either, judged = np.zeros(4), np.zeros(4), 0
    for predicted, truth in pairs:
        metrics.update(predicted, truth)
        known = truth != VOID
        judged += int(known.sum())
        for c in range(4):
            right[c] += ((predicted == c) & (truth == c)).sum()
            either[c] += (((predicted == c) & known) | (truth == c)).sum()
    results = dict(metrics.results())
    assert list(results) == ["miou", "pixel_accuracy"]
    assert results["miou"] == pytest.approx((right[:3] / either[:3]).mean()), "over the classes that occur"
    assert results["pixel_accuracy"] == pytest.approx(right.sum() / judged)
    assert metrics.iou().tolist()[:3] == pytest.approx(right[:3] / either[:3])
    assert math.isnan(metrics.iou()[3])
    assert metrics.images == 3
    assert int(metrics.confusion.sum()) == judged


def test_the_means_are_also_over_a_class_that_is_only_predicted() -> None:
    metrics = SegmentationMetrics(LABELS, outlines=True)
    predicted, truth = np.zeros((2, 10, 10), np.uint8)
    predicted[:, 5:] = 3
    metrics.update(predicted, truth)
    results = dict(metrics.results())
    assert results == {"miou": 0.25, "pixel_accuracy": 0.5, "boundary_f": 0.0, "iou sky": 0.5, "iou tram": 0.0}


def test_nothing_judged_is_an_error() -> None:
    metrics = SegmentationMetrics(LABELS)
    metrics.update(np.zeros((3, 3), np.uint8), np.full((3, 3), VOID, np.uint8))
    with pytest.raises(ValueError, match="no pixels"):
        dict(metrics.results())


def reference_scores(predicted: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[int, float]:
    """Csurka et al. 2013 pixel by pixel."""
    height, width = truth.shape
    reach = TOLERANCE * math.hypot(height, width)

    def outline(mask: NDArray[np.uint8], class_: int) -> list[tuple[int, int]]:
        found = []
        for i, j in np.argwhere((mask == class_) & (truth != VOID)).tolist():
            near = [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
            inside = [p for p in near if 0 <= p[0] < height and 0 <= p[1] < width and truth[p] != VOID]
            if any(mask[p] != class_ for p in inside):
                found.append((i, j))
        return found

    def near(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> float:
        return float(np.mean([min(math.dist(p, q) for q in b) <= reach for p in a])) if a and b else 0.0

    scores = {}
    for class_ in range(4):
        ours, theirs = outline(predicted, class_), outline(truth, class_)
        if ours or theirs:
            precision, recall = near(ours, theirs), near(theirs, ours)
            scores[class_] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return scores


@pytest.mark.parametrize(("size", "shift"), [((24, 30), 0), ((12, 300), 2), ((12, 300), 4), ((1, 40), 1)])
def test_boundary_f_is_the_paper_s(size: tuple[int, int], shift: int) -> None:
    predicted, truth = random_masks(size=size)
    if shift:
        truth = np.where(truth == VOID, truth, np.roll(predicted, shift, 1))
    found = score_outlines(np.where(truth == VOID, np.uint8(VOID), predicted), truth)
    assert found == pytest.approx(reference_scores(predicted, truth))


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (4, 1.0), (5, 0.0)])
def test_an_outline_may_be_off_by_its_tolerance_and_no_more(shift: int, expected: float) -> None:
    predicted, truth = np.zeros((2, 360, 480), np.uint8)  # 0.75 % of the diagonal, 600, is 4.5
    truth[:, 240:] = 1
    predicted[:, 240 + shift :] = 1
    assert score_outlines(predicted, truth) == {0: expected, 1: expected}


def test_the_photo_s_border_and_void_are_no_outline() -> None:
    mask = np.zeros((6, 6), np.uint8)
    assert not find_outlines(mask).any()
    mask[:, 3] = VOID
    mask[:, 4:] = 1
    assert not find_outlines(mask).any()
    mask[0, 3] = 1
    assert np.argwhere(find_outlines(mask)).tolist() == [[0, 2], [0, 3]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a data set and the weights that were trained on it for a little while; read only."""
    root = tmp_path_factory.mktemp("segment")
    data = make_scenes(root / "data")
    recipe = dataclasses.replace(SEGMENT, epochs=3, crops=4, learning_rate=1e-2)
    path = train_segmenter(recipe, data, root / "run", device="cpu")
    assert path is not None
    return data, path


@pytest.mark.slow
def test_the_tool_measures_what_training_did(run: Run, trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, model = trained
    command = ("evaluate", "segment", data, "--model", model, "--device", "cpu", "--workers", 2, "--quiet")
    status, out, err = run(*command, "-o", tmp_path / "report")
    assert (status, err) == (0, "")
    results = json.loads(out)
    assert list(results) == ["images", "miou", "pixel_accuracy", "boundary_f", *(f"iou {label}" for label in COLORS)]
    assert results["images"] == 2
    figures = {f["name"]: f["value"] for f in checkpoints.read_header(model)["figures"]}
    for name in ("miou", "pixel_accuracy"):
        assert results[name] == pytest.approx(figures[name], abs=2e-3)
    assert results["miou"] == pytest.approx(np.mean([results[f"iou {label}"] for label in COLORS]))

    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics == {"sha256": sha256(model), **results}
    with (tmp_path / "report" / "per-class.csv").open(newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(COLORS)
    assert all(float(row["iou"]) == pytest.approx(results[f"iou {label}"], abs=1e-6) for label, row in rows.items())
    assert np.mean([float(row["boundary_f"]) for row in rows.values()]) == pytest.approx(
        results["boundary_f"], abs=1e-6
    )
    with (tmp_path / "report" / "confusion.csv").open(newline="") as file:
        header, *counts = csv.reader(file)
    assert header == ["label", *COLORS]
    matrix = np.array([[int(v) for v in row[1:]] for row in counts])
    assert matrix.sum(1).tolist() == [int(row["pixels"]) for row in rows.values()]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(results["pixel_accuracy"])
    assert (tmp_path / "report" / "confusion.png").read_bytes().startswith(b"\x89PNG")

    assert run(*command, "--format", "csv")[1].splitlines()[:2] == ["name,value", "images,2"]
    assert len({len(line) for line in run(*command, "--format", "table")[1].splitlines()}) == 1
    part = ("evaluate", "segment", data / "val", *command[3:])
    assert run(*part)[1] == out, "classes.json lies beside the part"


@pytest.mark.slow
def test_classes_that_are_not_the_model_s_are_named(run: Run, trained: tuple[Path, Path], tmp_path: Path) -> None:
    data = make_scenes(tmp_path / "data", count=1)
    table = json.loads((data / "classes.json").read_text())
    (data / "classes.json").write_text(json.dumps({**table, "classes": ["sky", "road", "boat"]}))
    status, out, err = run("evaluate", "segment", data, "--model", trained[1], "--quiet")
    assert (status, out) == (2, "")
    assert "sky, road, boat" in err
    assert "sky, road, car" in err


@pytest.mark.slow
def test_all_that_cannot_be_measured_is_named(run: Run, trained: tuple[Path, Path], tmp_path: Path) -> None:
    data = make_scenes(tmp_path / "data", count=1)
    (data / "val" / "images" / "00.png").write_bytes(b"")
    Image.fromarray(np.full((64, 80), 9, np.uint8)).save(data / "val" / "masks" / "01.png")
    status, out, err = run("evaluate", "segment", data, "--model", trained[1], "--quiet")
    assert (status, out) == (2, "")
    assert "2 of 2 cannot be used" in err
    assert "images/00.png: The file is empty" in err
    assert "masks/01.png: It has pixels of 9" in err


@pytest.mark.slow
def test_a_model_for_another_task_is_4(run: Run, model: Path, trained: tuple[Path, Path]) -> None:
    status, _, err = run("evaluate", "segment", trained[0], "--model", model)
    assert status == 4
    assert "a model for classify, not for segment" in err
