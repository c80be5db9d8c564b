"""The training loop: it learns, resumes exactly, and its recipes are what they say."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from lightning.fabric import Fabric
from torch.utils.flop_counter import FlopCounterMode

from attnimg import checkpoints
from attnimg.datasets.classes import Examples, find_examples, read_classes, split
from attnimg.errors import UsageError
from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.classifier import Classifier, ClassifierConfig
from attnimg.nets.configuration import build_config
from attnimg.tasks.classify import load_classifier
from attnimg.training.augmentation import Augment
from attnimg.training.classification import Classification
from attnimg.training.loop import LAST
from attnimg.training.recipe import RECIPES, Augmentation, ClassifyRecipe, dump_toml, load_recipe
from attnimg.training.schedule import image_size, learning_rate
from attnimg.training.state import load_state, save_state
from attnimg.training.train_classifier import train_classifier

SMALL = ClassifyRecipe(
    name="small",
    net=ClassifierConfig(width=16, dropout=0.1, backbone=BackboneConfig(widths=(8, 16), depths=(1, 1), drop_path=0.2)),
    augmentation=Augmentation(rotation=10, shift=0.1, colour=0.2, erase=0.2, mixup=0.3, cutmix=0.3),
    epochs=2,
    size=32,
    start_size=24,
    batch_size=12,
    precision="fp32",
)


def states_equal(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(states_equal(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(states_equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b


def test_a_run_learns_and_its_file_classifies(classes: Path, tmp_path: Path) -> None:
    plain = dataclasses.replace(SMALL, augmentation=Augmentation(crop=0.8), epochs=8, learning_rate=0.05)
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


@pytest.mark.parametrize("stop", [4, 9])
def test_resuming_from_inside_an_epoch_is_bit_for_bit_the_undisturbed_run(
    classes: Path, tmp_path: Path, stop: int
) -> None:
    whole = train_classifier(SMALL, classes, tmp_path / "whole", device="cpu")
    train_classifier(SMALL, classes, tmp_path / "parts", device="cpu", steps=stop)
    parts = train_classifier(SMALL, classes, tmp_path / "parts", device="cpu", resume=True)
    states = [load_state(folder / LAST) for folder in (tmp_path / "whole", tmp_path / "parts")]
    assert states_equal(*states)
    assert states[0]["progress"]["step"] == 12
    assert whole.read_bytes() == parts.read_bytes()

    def log(folder: Path) -> list[dict[str, str]]:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader((folder / "log.csv").open())]

    assert log(tmp_path / "whole") == log(tmp_path / "parts")


def test_a_run_is_neither_begun_twice_nor_resumed_from_nothing(classes: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run to resume"):
        train_classifier(SMALL, classes, tmp_path / "run", device="cpu", resume=True)
    train_classifier(SMALL, classes, tmp_path / "run", device="cpu", steps=1)
    with pytest.raises(UsageError, match="--resume"):
        train_classifier(SMALL, classes, tmp_path / "run", device="cpu")


def test_another_seed_is_another_run(classes: Path, tmp_path: Path) -> None:
    a = train_classifier(SMALL, classes, tmp_path / "a", device="cpu", steps=2)
    b = train_classifier(dataclasses.replace(SMALL, seed=1), classes, tmp_path / "b", device="cpu", steps=2)
    assert a.read_bytes() != b.read_bytes()


def test_fine_tuning_takes_net_and_weights_from_the_model(classes: Path, tmp_path: Path) -> None:
    first = train_classifier(SMALL, classes, tmp_path / "a", device="cpu", steps=1)
    frozen = dataclasses.replace(SMALL, learning_rate=1e-9, name="other", net=ClassifierConfig())
    path = train_classifier(frozen, classes, tmp_path / "b", device="cpu", steps=1, start_from=str(first))
    before, after = checkpoints.read(first), checkpoints.read(path)
    assert after[0]["architecture"] == before[0]["architecture"]
    kernels = [n for n, t in before[1].items() if t.ndim == 4]
    assert kernels
    assert all(torch.allclose(before[1][n], after[1][n], atol=1e-3) for n in kernels)


def test_a_run_that_is_interrupted_in_a_step_resumes_exactly(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_classifier(SMALL, classes, tmp_path / "whole", device="cpu")
    seen = 0
    backward = Fabric.backward

    def interrupt(*args: object, **kwargs: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 9:
            os.kill(os.getpid(), signal.SIGINT)
        backward(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Fabric, "backward", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_classifier(SMALL, classes, tmp_path / "parts", device="cpu")
    assert load_state(tmp_path / "parts" / LAST)["progress"]["step"] == 9
    train_classifier(SMALL, classes, tmp_path / "parts", device="cpu", resume=True)
    assert states_equal(*(load_state(tmp_path / name / LAST) for name in ("whole", "parts")))


def test_a_run_that_dies_in_validation_resumes_exactly(
    classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_classifier(SMALL, classes, tmp_path / "whole", device="cpu")

    def die(*args: object) -> None:
        raise RuntimeError("power cut")

    train_classifier(SMALL, classes, tmp_path / "parts", device="cpu", steps=5)
    with monkeypatch.context() as patch:
        patch.setattr(Classification, "validate", die)
        with pytest.raises(RuntimeError, match="power cut"):
            train_classifier(SMALL, classes, tmp_path / "parts", device="cpu", resume=True)
    train_classifier(SMALL, classes, tmp_path / "parts", device="cpu", resume=True)
    assert states_equal(*(load_state(tmp_path / name / LAST) for name in ("whole", "parts")))


def test_patience_ends_a_run_and_is_remembered(classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classification, "validate", lambda *_: iter([("top1", 0.5), ("loss", 1.0)]))
    patient = dataclasses.replace(SMALL, epochs=9, patience=2)
    train_classifier(patient, classes, tmp_path, device="cpu")
    assert load_state(tmp_path / LAST)["progress"]["epochs"] == 3  # the first was the best, two brought nothing
    train_classifier(patient, classes, tmp_path, device="cpu", resume=True)
    assert load_state(tmp_path / LAST)["progress"]["epochs"] == 3


def test_a_resumed_run_keeps_its_recipe(classes: Path, tmp_path: Path) -> None:
    train_classifier(SMALL, classes, tmp_path, device="cpu", steps=1)
    with pytest.raises(UsageError, match="epochs 2, not 5"):
        train_classifier(dataclasses.replace(SMALL, epochs=5), classes, tmp_path, device="cpu", resume=True)


def test_a_diverged_run_is_said(classes: Path, tmp_path: Path) -> None:
    wild = dataclasses.replace(SMALL, learning_rate=1e30, warmup=0.0)
    with pytest.raises(UsageError, match="no number"):
        train_classifier(wild, classes, tmp_path, device="cpu")


def test_two_processes_train_as_one(classes: Path, tmp_path: Path) -> None:
    code = (
        "import sys, dataclasses; from pathlib import Path\n"
        "from test_training import SMALL; from attnimg.training.train_classifier import train_classifier\n"
        "path = train_classifier(SMALL, Path(sys.argv[1]), Path(sys.argv[2]), device='cpu', devices=2, say=print)\n"
        "print(path)\n"
    )
    script = tmp_path / "two.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
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


@pytest.mark.parametrize("name", sorted(p.stem for p in (RECIPES / "classify").glob("*.toml")))
def test_a_shipped_recipe_runs_for_twenty_steps(name: str, tmp_path: Path) -> None:
    from conftest import make_classes

    data = make_classes(tmp_path / "data", per_class=4)
    recipe = load_recipe(name, ClassifyRecipe)  # in smaller batches, and so at a smaller rate
    rate = recipe.learning_rate * 2 / recipe.batch_size
    recipe = dataclasses.replace(recipe, batch_size=2, epochs=4, learning_rate=rate)
    path = train_classifier(recipe, data, tmp_path / "run", device="cpu", steps=20)
    state = load_state(tmp_path / "run" / LAST)
    assert state["progress"]["step"] == 20
    assert all(t.isfinite().all() for t in checkpoints.read(path)[1].values())


def test_the_objects_recipe_keeps_to_its_budget() -> None:
    net = Classifier(load_recipe("objects", ClassifyRecipe).net).eval()
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 64, 64))
    assert sum(p.numel() for p in net.parameters()) <= 7.5e6
    assert counter.get_total_flops() / 2 <= 1.2e9


def test_recipes_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(dump_toml(SMALL))
    assert load_recipe(str(path), ClassifyRecipe) == SMALL
    assert load_recipe(str(path), ClassifyRecipe, epochs=7, seed=None) == dataclasses.replace(SMALL, epochs=7)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epoch = 3", "epoch"),
        ("epochs = 'x'", "epochs"),
        ("epochs = 0", "at least 1"),
        ("precision = 'fp64'", "precision"),
        ("epochs = ", "mine.toml"),
    ],
)
def test_a_wrong_recipe_is_wrong_usage_that_names_the_fault(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=named):
        load_recipe(str(tmp_path / "mine.toml"), ClassifyRecipe)


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(UsageError, match="objects-cpu"):
        load_recipe("nothing", ClassifyRecipe)


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate(SMALL, i / 1000) for i in range(1, 1001)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(SMALL.learning_rate, rel=1e-3)
    assert peak / 1000 == pytest.approx(SMALL.warmup, abs=2e-3)
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_images_grow_to_their_full_size() -> None:
    recipe = dataclasses.replace(SMALL, epochs=10, start_size=32, size=64, grow_until=0.5)
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
    from conftest import make_classes

    data = make_classes(tmp_path / "data", per_class=4)
    (data / "train" / "rose" / "cut.png").write_bytes((data / "train" / "rose" / "000.png").read_bytes()[:200])
    with pytest.raises(UsageError, match=r"cut\.png"):
        train_classifier(SMALL, data, tmp_path / "run", device="cpu")


def test_a_class_of_one_image_is_not_split(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only image"):
        split(Examples(("a", "b", "c"), (0, 0, 1)), 0.1, seed=0)


def test_a_folder_that_is_no_class_is_named(classes: Path) -> None:
    with pytest.raises(UsageError, match="grass is no class"):
        find_examples(classes / "train", read_classes(classes)[:1])


def test_rare_classes_weigh_more_when_asked(tmp_path: Path) -> None:
    import numpy as np

    from attnimg.tasks.preprocessing import Normalize
    from attnimg.training.classification import Classification

    recipe = dataclasses.replace(SMALL, balance=1.0, net=dataclasses.replace(SMALL.net, classes=2))
    part = np.zeros((4, 32, 32, 3), np.uint8), (0, 0, 0, 1)
    task = Classification(recipe, part, part, Normalize())
    assert task.weights[1] / task.weights[0] == pytest.approx(3)
    assert task.weights[task.classes].mean() == pytest.approx(1)


def test_state_survives_the_disk(tmp_path: Path) -> None:
    state = {"a": torch.arange(6).reshape(2, 3).t(), "b": {"0": [1, 2.5, torch.ones(())], "c": None}, "d": {3: "x"}}
    save_state(tmp_path / "state.safetensors", state)
    assert states_equal(load_state(tmp_path / "state.safetensors"), state)
