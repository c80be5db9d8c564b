"""Small data that the tests make."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("OMP_NUM_THREADS", "2")
# A shell that starts the tests in the background makes them, and what they start, deaf to Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., tuple[int, str, str]]


def make_classes(root: Path, per_class: int = 24, size: int = 32, seed: int = 0) -> Path:
    """Write DATA/train and DATA/val of three classes that differ by colour, as PNG."""
    rng = np.random.default_rng(seed)
    for part, count in (("train", per_class), ("val", 8)):
        for channel, name in enumerate(["blue_sky", "grass", "rose"]):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 100
                Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return root


@pytest.fixture(autouse=True)
def _limit_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put Pillow's limit of pixels back, which `images.read` sets for the whole process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of three classes by colour; read only."""
    return make_classes(tmp_path_factory.mktemp("classes"))


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
    import dataclasses

    import torch

    from attnimg import checkpoints
    from attnimg.nets.backbone import BackboneConfig
    from attnimg.nets.classifier import Classifier, ClassifierConfig

    torch.manual_seed(0)
    config = ClassifierConfig(classes=6, width=8, backbone=BackboneConfig(widths=(4, 8), depths=(1, 1)))
    header = {
        "task": "classify",
        "architecture": {"name": "classifier", **dataclasses.asdict(config)},
        "classes": [{"id": f"n{i}", "label": f"some/thing {i}"} for i in range(6)],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32},
        "temperature": 1.0,
        "attention": "attention",
    }
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoints.write(path, header, Classifier(config).state_dict())
    return path


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny enhancer with random weights; it brightens about fivefold."""
    import torch

    from attnimg import checkpoints
    from attnimg.nets.build import describe
    from attnimg.nets.enhancer import Enhancer, EnhancerConfig

    torch.manual_seed(0)
    config = EnhancerConfig(thumbnail=32, look=(8, 8, 8), widths=(8, 8, 8), depths=(1, 1, 1), heads=2)
    net = Enhancer(config)
    for parameter in net.parameters():
        if not parameter.any():  # what begins at zero would leave parts of the net unseen
            torch.nn.init.normal_(parameter, std=0.02)
    header = {
        "task": "enhance",
        "architecture": describe(config),
        "preprocessing": {"size": 32},
        "attention": "look.attention",
    }
    path = tmp_path_factory.mktemp("weights") / "dim.safetensors"
    checkpoints.write(path, header, net.state_dict())
    return path
