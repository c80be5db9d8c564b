"""Runs that go on from others: a stopped one ends bit for bit as if undisturbed, and a model is fine-tuned."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from helpers.tiny_training import CLASSIFY, TASKS, is_parameter, read_log, states_equal, train_classifier
from lightning.fabric import Fabric

from attnimg.errors import UsageError
from attnimg.models import checkpoints
from attnimg.training.loop import LAST
from attnimg.training.state import load_state, save_state
from attnimg.training.tasks.classification import Classification


@pytest.fixture(scope="module")
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Run a task's training to its end, once; returns the run's folder."""

    @cache
    def train(name: str) -> Path:
        task, folder = TASKS[name], tmp_path_factory.mktemp(name)
        task.train(task.recipe, request.getfixturevalue(task.data), folder, device="cpu")
        return folder

    return train


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "stop"), [("classify", 4), ("classify", 9), *((n, s) for n in ("enhance", "segment") for s in (2, 4))]
)
def test_resuming_from_inside_an_epoch_is_bit_for_bit_the_undisturbed_run(
    undisturbed: Callable[[str], Path], request: pytest.FixtureRequest, tmp_path: Path, name: str, stop: int
) -> None:
    task, whole, parts = TASKS[name], undisturbed(name), tmp_path / undisturbed(name).name
    data = request.getfixturevalue(task.data)
    task.train(task.recipe, data, parts, device="cpu", steps=stop)
    path = task.train(task.recipe, data, parts, device="cpu", resume=True)
    states = [load_state(folder / LAST) for folder in (whole, parts)]
    assert states_equal(*states)
    assert states[0]["progress"]["step"] == task.steps
    assert (whole / path.name).read_bytes() == path.read_bytes()
    assert read_log(whole) == read_log(parts)


@pytest.mark.slow
def test_a_run_that_is_interrupted_in_a_step_resumes_exactly(
    undisturbed: Callable[[str], Path], classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
            train_classifier(CLASSIFY, classes, tmp_path, device="cpu")
    assert load_state(tmp_path / LAST)["progress"]["step"] == 9
    train_classifier(CLASSIFY, classes, tmp_path, device="cpu", resume=True)
    assert states_equal(*(load_state(folder / LAST) for folder in (undisturbed("classify"), tmp_path)))


@pytest.mark.slow
def test_a_run_that_dies_in_validation_resumes_exactly(
    undisturbed: Callable[[str], Path], classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*args: object) -> None:
        raise RuntimeError("power cut")

    train_classifier(CLASSIFY, classes, tmp_path, device="cpu", steps=5)
    with monkeypatch.context() as patch:
        patch.setattr(Classification, "validate", die)
        with pytest.raises(RuntimeError, match="power cut"):
            train_classifier(CLASSIFY, classes, tmp_path, device="cpu", resume=True)
    train_classifier(CLASSIFY, classes, tmp_path, device="cpu", resume=True)
    assert states_equal(*(load_state(folder / LAST) for folder in (undisturbed("classify"), tmp_path)))


@pytest.mark.slow
def test_patience_ends_a_run_and_is_remembered(classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classification, "validate", lambda *_: iter([("top1", 0.5), ("loss", 1.0)]))
    patient = dataclasses.replace(CLASSIFY, epochs=9, patience=2)
    train_classifier(patient, classes, tmp_path, device="cpu")
    assert load_state(tmp_path / LAST)["progress"]["epochs"] == 3  # the first was the best, two brought nothing
    train_classifier(patient, classes, tmp_path, device="cpu", resume=True)
    assert load_state(tmp_path / LAST)["progress"]["epochs"] == 3


def test_a_resumed_run_keeps_its_recipe(classes: Path, tmp_path: Path) -> None:
    train_classifier(CLASSIFY, classes, tmp_path, device="cpu", steps=1)
    with pytest.raises(UsageError, match="epochs 2, not 5"):
        train_classifier(dataclasses.replace(CLASSIFY, epochs=5), classes, tmp_path, device="cpu", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_fine_tuning_takes_net_and_weights_from_the_model(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    task = TASKS[name]
    data = request.getfixturevalue(task.data)
    first = task.train(task.recipe, data, tmp_path / "a", device="cpu", steps=1)
    frozen = dataclasses.replace(task.recipe, learning_rate=1e-9, name="other", net=task.other)
    second = task.train(frozen, data, tmp_path / "b", device="cpu", steps=1, start_from=str(first))
    before, after = checkpoints.read(first), checkpoints.read(second)
    assert after[0]["architecture"] == before[0]["architecture"]
    taken = [n for n in before[1] if is_parameter(n) and (name != "classify" or not n.startswith("logits."))]
    assert all(torch.allclose(before[1][n], after[1][n], atol=1e-3) for n in taken)


def test_state_survives_the_disk(tmp_path: Path) -> None:
    state = {"a": torch.arange(6).reshape(2, 3).t(), "b": {"0": [1, 2.5, torch.ones(())], "c": None}, "d": {3: "x"}}
    save_state(tmp_path / "state.safetensors", state)
    assert states_equal(load_state(tmp_path / "state.safetensors"), state)
