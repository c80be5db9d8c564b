"""Small data that the tests make."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers.results import Run
from helpers.tiny_data import make_classes, make_pairs, make_scenes
from helpers.watch_thread import Start, Watch, write
from PIL import Image

from attnimg.models.registry import TASKS, Reference

if TYPE_CHECKING:
    from helpers.copy_processes import Copier
    from torch.nn import Module

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle threads must not spin on shared cores
# A shell that starts the tests in the background makes them, and what they start, deaf to Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def write_weights(factory: pytest.TempPathFactory, name: str, header: dict[str, Any], net: Module) -> Path:
    """Write a net's weight file into a folder of its own."""
    from attnimg.models import checkpoints

    path = factory.mktemp("weights") / f"{name}.safetensors"
    checkpoints.write(path, header, net.state_dict())
    return path


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()  # ends a stream that a failed test left open
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of three classes by color; read only."""
    return make_classes(tmp_path_factory.mktemp("classes"))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of six pairs of photos and two to validate; read only."""
    return make_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of six scenes and two to validate; read only."""
    return make_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the program in this process; returns exit status, stdout, stderr."""
    from attnimg.cli.main import main

    before = signal.getsignal(signal.SIGTERM)

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attnimg", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny model with random weights, 6 classes."""
    import torch

    from attnimg.models.build import describe
    from attnimg.nets.backbone import BackboneConfig
    from attnimg.nets.classifier import ClassifierConfig, ClassifierNet

    torch.manual_seed(0)
    config = ClassifierConfig(classes=6, width=8, backbone=BackboneConfig(widths=(4, 8), depths=(1, 1)))
    header = {
        "task": "classify",
        "architecture": describe(config),
        "classes": [{"id": f"n{i}", "label": f"some/thing {i}"} for i in range(6)],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32, "fit": "square"},
        "temperature": 1.0,
        "attention": "attention",
    }
    return write_weights(tmp_path_factory, "tiny", header, ClassifierNet(config))


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny enhancer with random weights; it brightens about fivefold."""
    import torch
    from helpers.tiny_nets import ENHANCER, ENHANCER_HEADER

    from attnimg.models.build import describe
    from attnimg.nets.enhancer.net import EnhancerNet

    torch.manual_seed(0)
    net = EnhancerNet(ENHANCER)
    for parameter in net.parameters():
        if not parameter.any():  # what begins at zero would leave parts of the net unseen
            torch.nn.init.normal_(parameter, std=0.02)
    header = {"task": "enhance", "architecture": describe(ENHANCER), **ENHANCER_HEADER}
    return write_weights(tmp_path_factory, "dim", header, net)


@pytest.fixture
def enhance(run: Run, night: Path) -> Run:
    """Run `attnimg enhance` with `night`."""
    return lambda *args: run("enhance", *args, "--model", night, "--device", "cpu")


@pytest.fixture
def each_format(tmp_path: Path) -> Path:
    """Return a folder with a dark photo of each format, changed long ago."""
    from helpers.dark_photos import FORMATS, LONG_AGO, dark

    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for seed, (name, format_) in enumerate(FORMATS.items()):
        dark(seed).save(folder / name, format_)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def lane(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a segmenter that tells classes by their colors, as `by_color.py` has it; it loads in this process."""
    from helpers.by_color import HEADER, ByColor, ByColorConfig

    monkeypatch.setitem(TASKS["segment"].nets, "by_color", Reference("helpers.by_color:ByColor"))  # type: ignore[arg-type]
    return write_weights(tmp_path_factory, "lane", HEADER, ByColor(ByColorConfig()))


@pytest.fixture
def segment(run: Run, lane: Path) -> Run:
    """Run `attnimg segment` with `lane`."""
    return lambda *args: run("segment", *args, "--model", lane, "--device", "cpu")


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    """Return a folder of two photos whose masks are known: `by_color.scene`, and all road."""
    from helpers.by_color import COLORS, ROAD, scene

    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(COLORS[scene()]).save(folder / "a.png")
    Image.new("RGB", (80, 40), tuple(COLORS[ROAD])).save(folder / "sub" / "b.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a weight file of which `weight_files.py` makes spoilt copies; read only."""
    from helpers.weight_files import write_whole

    return write_whole(tmp_path_factory.mktemp("whole") / "whole.safetensors")


@pytest.fixture
def copying(tmp_path: Path) -> Copier:
    """Return a folder of photos and the program that copies them."""
    from helpers.copy_processes import Copier

    return Copier(tmp_path)


@pytest.fixture
def start_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a watch of a folder with one image in it, and return when it has begun."""
    watches: list[Watch] = []

    def start(*inputs: Path, ready: bool = True, **options: object) -> Watch:
        folder = inputs[0] if inputs else tmp_path / "in"
        folder.mkdir(exist_ok=True)
        if ready:
            write(folder / "first.jpg", old=True)
        watches.append(Watch(*(inputs or [folder]), **options))
        if ready:
            assert watches[-1].names(1) == ["first.jpg"]
        return watches[-1]

    yield start
    for started in watches:
        started.stop()
