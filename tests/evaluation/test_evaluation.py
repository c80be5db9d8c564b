import csv
import json
import math
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from attnimg.errors import Unavailable
from attnimg.evaluation.calibration import MIN_TEMPERATURE, Reliability, fit_temperature
from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.evaluation.report import Evaluation, write_classes


def measure(logits, targets, classes=None):
    metrics = ClassificationMetrics(classes or logits.shape[1])
    metrics.update(logits, targets)
    return metrics


def sample(images=400, classes=12, seed=0):
    draw = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (images,), generator=draw)
    logits = torch.randn(images, classes, generator=draw)
    logits[torch.arange(images), targets] += 1.5
    return logits, targets


def reference(logits, targets):
    """The same figures in plain numpy, image by image and class by class."""
    z, t = logits.double().numpy(), targets.numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    order = np.argsort(-z, axis=1, kind="stable")
    predicted, confidence = order[:, 0], p.max(1)
    ece = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            ece += inside.mean() * abs((predicted == t)[inside].mean() - confidence[inside].mean())
    present = np.unique(t)
    return {
        "top1": np.mean(predicted == t),
        "top5": np.mean([t[i] in order[i, :5] for i in range(len(t))]),
        "loss": -np.log(p[np.arange(len(t)), t]).mean(),
        "ece": ece,
        "precision": np.mean([(t[predicted == c] == c).mean() if (predicted == c).any() else 0.0 for c in present]),
        "recall": np.mean([(predicted[t == c] == c).mean() for c in present]),
    }


def test_three_images_by_hand():
    logits = torch.tensor([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.25, 0.25]]).log()
    metrics = measure(logits, torch.tensor([0, 0, 2]))
    assert metrics.confusion.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    results = dict(metrics.results())
    assert results["top1"] == pytest.approx(1 / 3)
    assert results["loss"] == pytest.approx(-(math.log(0.8) + math.log(0.3) + math.log(0.25)) / 3)
    assert results["ece"] == pytest.approx((0.2 + 0.6 + 0.5) / 3)
    assert results["precision"] == pytest.approx((0.5 + 0) / 2), "of the classes that have images"
    assert results["recall"] == pytest.approx((0.5 + 0) / 2)


@pytest.mark.parametrize("classes", [2, 5, 12, 40])
def test_agrees_with_numpy(classes):
    logits, targets = sample(classes=classes)
    assert dict(measure(logits, targets).results()) == pytest.approx(reference(logits, targets))


def test_batches_do_not_matter():
    logits, targets = sample()
    metrics = ClassificationMetrics(12)
    for part in torch.arange(400).split(37):
        metrics.update(logits[part], targets[part])
    assert metrics.images == 400
    assert dict(metrics.results()) == pytest.approx(dict(measure(logits, targets).results()))


def test_logits_of_half_precision_that_still_carry_a_graph():
    logits, targets = sample()
    half = logits.bfloat16().requires_grad_()
    assert dict(measure(half, targets).results()) == pytest.approx(reference(half.detach().float(), targets))


def test_perfect_and_uniform():
    targets = torch.arange(10).repeat(3)
    perfect = dict(measure(torch.eye(10)[targets].log(), targets).results())
    assert perfect == {"top1": 1, "top5": 1, "loss": 0, "ece": 0, "precision": 1, "recall": 1}
    uniform = dict(measure(torch.zeros(30, 10), targets).results())
    assert uniform["top1"] == pytest.approx(0.1), "equal scores are one guess, not a right one"
    assert uniform["top5"] == pytest.approx(0.5)
    assert uniform["loss"] == pytest.approx(math.log(10))
    assert uniform["ece"] == pytest.approx(0, abs=1e-9)


def test_no_images_and_wrong_targets_are_errors():
    with pytest.raises(ValueError, match="no images"):
        dict(ClassificationMetrics(3).results())
    with pytest.raises((RuntimeError, IndexError)):
        measure(torch.zeros(1, 3), torch.tensor([3]))


def test_reliability_rows():
    table = Reliability(bins=5)
    table.update(torch.tensor([0.9, 0.7, 0.65, 0.5]), torch.tensor([True, False, True, True]))
    rows = list(table)
    assert [row.count for row in rows] == [0, 0, 1, 2, 1], "a bin's upper edge is its own"
    assert rows[3].confidence == pytest.approx(0.675)
    assert rows[3].accuracy == 0.5
    assert (rows[3].lower, rows[3].upper) == (0.6, 0.8)
    assert math.isnan(rows[0].accuracy)


def test_a_calibrated_set_has_hardly_any_error():
    draw = torch.Generator().manual_seed(1)
    confidence = torch.rand(200_000, generator=draw)
    table = Reliability()
    table.update(confidence, torch.rand(200_000, generator=draw) < confidence)
    assert table.error() < 0.006
    over = Reliability()
    over.update(confidence, torch.rand(200_000, generator=draw) < confidence - 0.2 * (confidence > 0.5))
    assert over.error() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_temperature_recovers_the_scale(scale):
    draw = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(20_000, 10, generator=draw)
    targets = torch.multinomial(logits.softmax(1), 1, generator=draw)[:, 0]
    found = fit_temperature(scale * logits, targets)
    assert found == pytest.approx(scale, rel=0.03)
    assert found == fit_temperature(scale * logits, targets)


def test_temperature_is_the_smallest_loss():
    logits, targets = sample()
    found = fit_temperature(logits, targets)
    losses = [reference(logits / (found * factor), targets)["loss"] for factor in (0.98, 1.0, 1.02)]
    assert losses[1] == min(losses)


def test_temperature_at_the_ends():
    # All right: smoothing wants 5/6 + 1/6 * 1/4 on the label, so softmax = e^(1/T) / (e^(1/T) + 3) = 0.875.
    assert fit_temperature(torch.eye(4), torch.arange(4)) == pytest.approx(1 / math.log(21), rel=1e-4)
    assert fit_temperature(1e-3 * torch.eye(4), torch.arange(4)) == pytest.approx(MIN_TEMPERATURE, rel=1e-4)
    for logits in (torch.zeros(0, 3), torch.tensor([[0.0, -torch.inf]])):
        with pytest.raises(ValueError, match="finite"):
            fit_temperature(logits, torch.zeros(len(logits), dtype=torch.long))


def write_report(folder, metrics, classes):
    return Evaluation(metrics, "these", partial(write_classes, metrics=metrics, classes=classes)).write(folder)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_report(tmp_path):
    logits = torch.tensor([[2.0, 0, 0], [0, 2, 0], [2, 0, 0], [2, 0, 0]])
    metrics = measure(logits, torch.tensor([0, 0, 1, 0]))
    classes = {"n01": "goldfish, Carassius", "caf\udce9": "$x", "n03": "line\nbreak"}
    written = write_report(tmp_path / "new" / "folder", metrics, classes)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == sorted(p.name for p in written)
    by_name = {p.name: p for p in written}

    assert read_csv(by_name["per-class.csv"]) == [
        ["id", "label", "images", "precision", "recall"],
        ["n01", "goldfish, Carassius", "3", "0.666667", "0.666667"],
        ["caf\\udce9", "$x", "1", "0.000000", "0.000000"],
        ["n03", "line\nbreak", "0", "", ""],
    ]
    assert read_csv(by_name["confusion.csv"])[1:] == [
        ["n01", "2", "1", "0"],
        ["caf\\udce9", "1", "0", "0"],
        ["n03", "0", "0", "0"],
    ]
    figures = json.loads(by_name["metrics.json"].read_text())
    assert figures == {"images": 4, **dict(metrics.results())}
    for name in ("confusion.png", "calibration.png"):
        with Image.open(by_name[name]) as picture:
            assert np.asarray(picture.convert("L")).std() > 20, "something is drawn"


def test_report_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(Unavailable, match=r"pip install 'attnimg\[train\]'"):
        write_report(tmp_path, measure(*sample(classes=3)), {"a": "A", "b": "B", "c": "C"})
    assert (tmp_path / "metrics.json").exists()


def test_report_wants_a_label_for_every_class(tmp_path):
    with pytest.raises(ValueError, match="argument"):
        write_report(tmp_path, measure(*sample(classes=3)), {"a": "A", "b": "B"})
