"""A model without attention does all but draw it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.results import Run, records
from helpers.tiny_nets import CLASSIFIER, CLASSIFIER_HEADER
from PIL import Image

import attnimg
from attnimg.errors import UsageError
from attnimg.models import checkpoints
from attnimg.models.build import describe
from attnimg.nets.classifier import ClassifierConfig, ClassifierNet


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a classifier that pools by a mean."""
    config = ClassifierConfig(classes=3, width=16, pooling="none", backbone=CLASSIFIER.backbone)
    header: dict[str, Any] = {"task": "classify", "architecture": describe(config), **CLASSIFIER_HEADER}
    del header["attention"]
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "plain.safetensors"
    checkpoints.write(path, header, ClassifierNet(config).state_dict())
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_it_loads_and_classifies(run: Run, plain: Path, photo: Path, tmp_path: Path) -> None:
    classify = attnimg.load("classify", model=str(plain), device="cpu")
    found = classify(Image.open(photo))
    assert sum(prediction.score for prediction in found) == pytest.approx(1, abs=1e-5)
    (predicted,) = classify.predict([classify.prepare(np.asarray(Image.open(photo)))], attention=True)
    assert predicted.attention is None

    status, out, _ = run("classify", photo, "--model", plain, "--device", "cpu", "--sort-into", tmp_path / "sorted")
    (record,) = records(out)
    assert (status, record["model"]) == (0, "plain")
    assert [p["label"] for p in record["predictions"]] == [prediction.label for prediction in found]


def test_its_overlay_is_wrong_usage(run: Run, plain: Path, photo: Path, tmp_path: Path) -> None:
    args = ("classify", photo, "--model", plain, "--overlay", "-o", tmp_path / "out")
    for more in ((), ("--dry-run",), ("--report", tmp_path / "run.jsonl")):
        status, out, err = run(*args, *more)
        assert (status, out) == (2, "")
        assert err == "attnimg: The model plain has no attention map to draw. Leave out --overlay.\n"
    assert {path.name for path in tmp_path.iterdir()} == {"a.png"}
    with pytest.raises(UsageError, match="no attention"):
        next(attnimg.run("classify", photo, model=plain, overlay=True, output=tmp_path / "out"))
