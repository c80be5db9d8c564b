"""Training a classifier: the run learns, its data set is found and split, and its schedule is as documented."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.paths import TESTS
from helpers.tiny_data import make_classes
from helpers.tiny_training import CLASSIFY, train_classifier

from attnimg.datasets.classes import Examples, find_examples, read_classes, split
from attnimg.errors import UsageError
from attnimg.models import checkpoints
from attnimg.models.preprocessing import Preprocessing
from attnimg.nets.configuration import build_config
from attnimg.predictors.classify import load_classifier
from attnimg.training.augmentation import Augment
from attnimg.training.recipe import Augmentation, ClassifyRecipe
from attnimg.training.run import NORMALIZATION
from attnimg.training.schedule import image_size, learning_rate
from attnimg.training.tasks.classification import Classification


@pytest.mark.slow
def test_a_run_learns_and_its_file_classifies(classes: Path, tmp_path: Path) -> None:
    plain = dataclasses.replace(CLASSIFY, augmentation=Augmentation(crop=0.8), epochs=8, learning_rate=0.05)
    path = train_classifier(plain, classes, tmp_path, device="cpu")
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert len(rows) == 8
    assert float(rows[-1]["top1"]) > 0.9
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert build_config(tomllib.loads((tmp_path / "recipe.toml").read_text()), ClassifyRecipe).epochs == 8
    classifier = load_classifier(str(path), device="cpu")
    assert [c.label for c in classifier.classes] == ["blue sky", "grass", "rose"]
    red = torch.full((40, 60, 3), 50, dtype=torch.uint8)
    red[..., 0] = 160
    assert classifier(red.numpy())[0].id == "rose"
    assert checkpoints.read_header(path)["temperature"] > 0


def test_a_run_is_neither_begun_twice_nor_resumed_from_nothing(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run to resume"):
        train_classifier(CLASSIFY, classes, tmp_path / "run", device="cpu", resume=True)
    train_classifier(CLASSIFY, classes, tmp_path / "run", device="cpu", steps=1)
    with pytest.raises(UsageError, match="--resume"):
        train_classifier(CLASSIFY, classes, tmp_path / "run", device="cpu")


@pytest.mark.slow
def test_another_seed_is_another_run(classes: Path, tmp_path: Path) -> None:
    recipes = (CLASSIFY, dataclasses.replace(CLASSIFY, seed=1))
    runs = [train_classifier(r, classes, tmp_path / str(r.seed), device="cpu", steps=2) for r in recipes]
    first, second = (checkpoints.read(path)[1]["backbone.stem.0.weight"] for path in runs)
    assert not torch.allclose(first, second, atol=1e-3)


def test_a_diverged_run_is_said(classes: Path, tmp_path: Path) -> None:
    wild = dataclasses.replace(CLASSIFY, learning_rate=1e30, warmup=0.0)
    with pytest.raises(UsageError, match="NaN"):
        train_classifier(wild, classes, tmp_path, device="cpu")


@pytest.mark.slow
def test_two_processes_train_as_one(classes: Path, tmp_path: Path) -> None:
    code = (
        "import sys, dataclasses; from pathlib import Path\n"
        "from helpers.tiny_training import CLASSIFY, train_classifier\n"
        "path = train_classifier(CLASSIFY, Path(sys.argv[1]), Path(sys.argv[2]), device='cpu', devices=2, say=print)\n"
        "print(path)\n"
    )
    script = tmp_path / "two.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(classes), str(tmp_path / "run")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("3 classes") == 1
    assert len(list(csv.DictReader((tmp_path / "run" / "log.csv").open()))) == 2
    assert checkpoints.read_header(tmp_path / "run" / "run.safetensors")["task"] == "classify"


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixed_labels_have_the_share_that_their_pixels_have(mix: str) -> None:
    torch.manual_seed(1)
    augment = Augment(Augmentation(crop=1.0, flip=0.0, **{mix: 1.0}))
    classes = torch.arange(16)
    images = (classes / 16)[:, None, None, None].expand(16, 3, 32, 32).clone()
    mixed, found = augment(images, classes, 32)
    assert found is not None
    others, share = found
    expected = (1 - share) * classes / 16 + share * others / 16
    assert torch.allclose(mixed.mean((1, 2, 3)), expected, atol=1e-3)
    assert share.max() > 0.05


def test_rare_classes_weigh_more_when_asked(tmp_path: Path) -> None:
    recipe = dataclasses.replace(CLASSIFY, balance=1.0, net=dataclasses.replace(CLASSIFY.net, classes=2))
    part = np.zeros((4, 32, 32, 3), np.uint8), (0, 0, 0, 1)
    task = Classification(recipe, part, part, Preprocessing("square", 32, *NORMALIZATION))
    assert task.weights[1] / task.weights[0] == pytest.approx(3)
    assert task.weights[task.classes].mean() == pytest.approx(1)


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate(CLASSIFY, i / 1000) for i in range(1, 1001)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(CLASSIFY.learning_rate, rel=1e-3)
    assert peak / 1000 == pytest.approx(CLASSIFY.warmup, abs=2e-3)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_images_grow_to_their_full_size() -> None:
    recipe = dataclasses.replace(CLASSIFY, epochs=10, start_size=32, size=64, grow_until=0.5)
    sizes = [image_size(recipe, epoch) for epoch in range(10)]
    assert sizes[0] == 32
    assert sizes == sorted(sizes)
    assert set(sizes[5:]) == {64}


def test_the_split_is_seeded_disjoint_and_takes_from_every_class(classes: Path) -> None:
    examples = find_examples(classes / "train", read_classes(classes))
    rest, share = split(examples, 0.25, seed=3)
    assert set(rest.files) | set(share.files) == set(examples.files)
    assert not set(rest.files) & set(share.files)
    assert [share.classes.count(c) for c in range(3)] == [6, 6, 6]
    assert split(examples, 0.25, seed=3) == (rest, share)
    assert split(examples, 0.25, seed=4)[1] != share


def test_classes_json_gives_ids_and_labels(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps([{"id": "n1", "label": "cat"}, {"id": "n2", "label": "dog"}]))
    assert [(c.id, c.label) for c in read_classes(tmp_path)] == [("n1", "cat"), ("n2", "dog")]


def test_an_unreadable_training_image_is_named(tmp_path: Path) -> None:
    data = make_classes(tmp_path / "data", per_class=4)
    (data / "train" / "rose" / "cut.png").write_bytes((data / "train" / "rose" / "000.png").read_bytes()[:200])
    with pytest.raises(UsageError, match=r"cut\.png"):
        train_classifier(CLASSIFY, data, tmp_path / "run", device="cpu")


def test_a_class_of_one_image_is_not_split(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only image"):
        split(Examples(("a", "b", "c"), (0, 0, 1)), 0.1, seed=0)


def test_a_folder_that_is_no_class_is_named(classes: Path) -> None:
    with pytest.raises(UsageError, match="grass is not a class"):
        find_examples(classes / "train", read_classes(classes)[:1])
