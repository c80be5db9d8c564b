"""Loading: models without attention, models of other sources, and models of other tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.copy_task import TASK as COPY
from helpers.results import Run
from helpers.tiny_nets import (
    CLASSIFIER,
    CLASSIFIER_HEADER,
    ENHANCER,
    ENHANCER_HEADER,
    SEGMENTER,
    SEGMENTER_HEADER,
    make_enhancer,
)
from PIL import Image
from torch import Tensor, nn

import attnimg
from attnimg.errors import Unavailable, UsageError
from attnimg.models import checkpoints, sources
from attnimg.models.build import build_net, describe
from attnimg.models.load import load
from attnimg.models.registry import TASKS
from attnimg.models.sources import WeightFiles, find_model

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


def plain(backbone: Any) -> Any:
    return dataclasses.replace(backbone, channel_attention="none", spatial_attention="none")


PLAIN: dict[str, tuple[Any, dict[str, Any]]] = {
    "classify": (
        dataclasses.replace(CLASSIFIER, pooling="none", backbone=plain(CLASSIFIER.backbone)),
        CLASSIFIER_HEADER,
    ),
    "segment": (
        dataclasses.replace(SEGMENTER, focus="none", gate="none", backbone=plain(SEGMENTER.backbone)),
        SEGMENTER_HEADER,
    ),
    "enhance": (dataclasses.replace(ENHANCER, attention="none", pooling="none"), ENHANCER_HEADER),
}
"""For each task a net without attention, and a header."""


@pytest.fixture(params=[None, "missing"], ids=["null", "missing"])
def write_plain(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Write the weight file of a net without attention; its header says null, or nothing."""

    def write(task: str) -> Path:
        config, header = PLAIN[task]
        torch.manual_seed(0)
        header = {**header, "task": task, "architecture": describe(config), "attention": None}
        if request.param:
            del header["attention"]
        path = tmp_path / f"{task}.safetensors"
        checkpoints.write(path, header, build_net(header["architecture"]).state_dict())
        return path

    return write


@pytest.mark.parametrize("task", PLAIN)
def test_a_net_without_attention_loads_and_predicts(task: str, write_plain: Any) -> None:
    predictor = load(task, str(write_plain(task)), device="cpu")
    prepared = [predictor.prepare(PIXELS)]
    (one,), (other,) = predictor.predict(prepared), predictor.predict(prepared, attention=True)
    assert other.attention is None
    result = {"classify": "probabilities", "segment": "mask", "enhance": "pixels"}[task]
    assert np.array_equal(getattr(one, result), getattr(other, result))
    assert len(predictor([PIXELS, PIXELS])) == 2


@pytest.mark.parametrize("task", PLAIN)
def test_an_overlay_of_a_net_without_attention_is_wrong_usage(
    task: str, write_plain: Any, run: Run, tmp_path: Path
) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    status, _, said = run(
        task, tmp_path / "a.png", "-o", tmp_path / "out", "--overlay", "--model", write_plain(task), "--device", "cpu"
    )
    assert status == 2
    assert "no attention map" in said
    assert "--overlay" in said


def test_an_attention_that_the_net_does_not_have_is_refused(tmp_path: Path) -> None:
    config, header = PLAIN["classify"]
    path = tmp_path / "m.safetensors"
    header = {**header, "task": "classify", "architecture": describe(config)}
    checkpoints.write(path, header, build_net(header["architecture"]).state_dict())
    with pytest.raises(Unavailable, match=r"m\.safetensors.*no attention called 'attention'"):
        load("classify", str(path), device="cpu")


class ByBrightness(nn.Module):
    """Tells dark images from bright ones; none of the package's nets."""

    def forward(self, x: Tensor) -> Tensor:
        brightness = x.mean((1, 2, 3)) - 0.5
        return torch.stack([-20 * brightness, 20 * brightness], 1)


class ToyModel:
    """A model that is in no file."""

    sha256 = "0" * 64
    header: Mapping[str, Any] = {
        "task": "classify",
        "classes": [{"id": "dark", "label": "night"}, {"id": "bright", "label": "day"}],
        "preprocessing": {"fit": "square", "size": 16},
        "temperature": 1.0,
    }

    def __init__(self, name: str) -> None:
        self.name = self.origin = name

    def build_net(self) -> nn.Module:
        return ByBrightness()


class ToySource:
    """Has all names that begin with toy:. asked: names, in their order."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def has(self, name: str) -> bool:
        self.asked.append(name)
        return name.startswith("toy:")

    def find(self, name: str) -> ToyModel:
        if name != "toy:x":
            raise Unavailable(f"There is no toy {name}.")
        return ToyModel(name)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> ToySource:
    source = ToySource()
    monkeypatch.setattr(sources, "SOURCES", [source, *sources.SOURCES])
    return source


def test_a_model_of_another_source_is_found_first_and_predicts(toys: ToySource) -> None:
    classifier = attnimg.load("classify", model="toy:x", device="cpu")
    assert toys.asked == ["toy:x"]
    assert classifier.model == "toy:x"
    for code, label in ((20, "night"), (240, "day")):
        best = classifier(np.full((30, 50, 3), code, np.uint8))[0]
        assert best.label == label
        assert best.score > 0.99


def test_names_that_another_source_does_not_have_go_to_the_next(toys: ToySource, model: Path) -> None:
    assert find_model(str(model)).name == "tiny"
    assert toys.asked == [str(model)]
    with pytest.raises(Unavailable, match="no toy toy:y"):
        find_model("toy:y")


def test_the_command_runs_a_model_of_another_source(toys: ToySource, run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (250, 250, 250)).save(tmp_path / "a.png")
    status, out, _ = run("classify", tmp_path / "a.png", "--model", "toy:x", "--device", "cpu")
    assert status == 0
    assert '"day"' in out
    assert '"model": "toy:x"' in out


def test_a_shipped_name_goes_before_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = checkpoints.available()[0]
    for name in (shipped.stem, "mine"):
        Path(name).write_bytes(b"")
    assert WeightFiles().find(shipped.stem).path == shipped
    assert WeightFiles().find("mine").path == Path("mine")


def test_a_task_without_a_predictor_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "copy", COPY)
    with pytest.raises(UsageError, match="copy has no predictor"):
        load("copy")


def test_a_model_of_another_task_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    header = {**ENHANCER_HEADER, "task": "enhance", "architecture": describe(ENHANCER)}
    checkpoints.write(path, header, make_enhancer().state_dict())
    with pytest.raises(Unavailable, match="enhance, not for segment"):
        load("segment", str(path))
