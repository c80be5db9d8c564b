"""The training loop tells of each epoch."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from helpers.tiny_training import CLASSIFY, TASKS, read_log, train_classifier

from attnimg.training.tasks.classification import Classification

pytestmark = pytest.mark.slow

SECONDS = re.compile(r" in \d+\.\d s")


def test_an_epoch_is_told_when_it_is_validated(classes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([(0.5, 1.0), (0.25, 0.1), (0.5, 0.9), (0.5, 0.9)])
    monkeypatch.setattr(Classification, "validate", lambda *_: zip(("top1", "loss"), next(measured), strict=True))
    told: list[str] = []
    train_classifier(dataclasses.replace(CLASSIFY, epochs=4), classes, tmp_path, device="cpu", say=told.append)
    assert [SECONDS.sub("", line, 1) for line in told if SECONDS.search(line)] == [
        "epoch 1 of 4: top1 0.500, loss 1.000, the best so far",
        "epoch 2 of 4: top1 0.250, loss 0.100",
        "epoch 3 of 4: top1 0.500, loss 0.900, the best so far",
        "epoch 4 of 4: top1 0.500, loss 0.900",
    ]


@pytest.mark.parametrize("name", TASKS)
def test_what_is_told_is_what_the_log_says(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    task, told = TASKS[name], []
    data = request.getfixturevalue(task.data)
    task.train(task.recipe, data, tmp_path, device="cpu", steps=task.steps // 2, say=told.append)
    task.train(task.recipe, data, tmp_path, device="cpu", resume=True, say=told.append)
    score = {"classify": "top1", "enhance": "ssim", "segment": "miou"}[name]
    expected = [f"{score} {float(row[score]):.3f}, loss {float(row['loss']):.3f}" for row in read_log(tmp_path)]
    found = [re.match(r"epoch (\d) of 2 in [\d.]+ s: (\w+ [\d.]+, loss [\d.]+)", line) for line in told]
    assert [match.groups() for match in found if match] == list(zip("12", expected, strict=True))
