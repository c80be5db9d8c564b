"""Training runs that take a second: a recipe of each task, and comparisons of two runs."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from attnimg.models import registry
from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.classifier import ClassifierConfig
from attnimg.nets.enhancer.net import EnhancerConfig
from attnimg.nets.segmenter import SegmenterConfig
from attnimg.training.cache.photos import Photos
from attnimg.training.recipe import Augmentation, ClassifyRecipe, EnhanceRecipe, SceneAugmentation, SegmentRecipe
from attnimg.training.run import Options
from attnimg.training.trainer import train
from helpers.tiny_nets import ENHANCER, SEGMENTER

SMALL: dict[str, Any] = {"name": "small", "epochs": 2, "precision": "fp32"}
SMALL_CROPS = {**SMALL, "batch_size": 4, "crops": 2}
CLASSIFY = ClassifyRecipe(
    **SMALL,
    net=ClassifierConfig(
        width=16,
        dropout=0.1,
        backbone=BackboneConfig(widths=(8, 16), depths=(1, 1), channel_attention="se", drop_path=0.2),
    ),
    augmentation=Augmentation(rotation=10, shift=0.1, color=0.2, erase=0.2, mixup=0.3, cutmix=0.3),
    size=32,
    start_size=24,
    batch_size=12,
)
ENHANCE = EnhanceRecipe(
    **SMALL_CROPS, net=ENHANCER, size=48, start_size=32, exposure_only_samples=1, synthetic_share=0.2
)
SEGMENT = SegmentRecipe(**SMALL_CROPS, net=SEGMENTER, augmentation=SceneAugmentation(color=0.1), size=64, start_size=48)


def _train(task: str, recipe: Any, data: Path, folder: Path, **given: Any) -> Path:
    """Train on a data set. given: fields of `run.Options`, and options that only the task has."""
    known = {field.name for field in fields(Options)}
    options = Options(**{name: value for name, value in given.items() if name in known})
    own = {name: value for name, value in given.items() if name not in known}
    trainer = registry.TASKS[task].trainer
    assert trainer is not None
    path = train(trainer.load(), recipe, data, folder, options=options, **own)
    assert path is not None
    return path


train_classifier, train_enhancer, train_segmenter = (
    partial(_train, task) for task in ("classify", "enhance", "segment")
)


class Task(NamedTuple):
    """A small run of a task.

    train: as `train_classifier`. data: name of the fixture of its data set. steps: of a whole run. other: another net.
    """

    train: Callable[..., Path]
    recipe: Any
    data: str
    steps: int
    other: Any


TASKS = {
    "classify": Task(train_classifier, CLASSIFY, "classes", 12, ClassifierConfig()),
    "enhance": Task(train_enhancer, ENHANCE, "pairs", 6, EnhancerConfig(widths=(16, 16, 16))),
    "segment": Task(train_segmenter, SEGMENT, "scenes", 6, SegmenterConfig()),
}


def states_equal(a: object, b: object) -> bool:
    """Return whether two states of runs are equal, except for the time that they took."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(states_equal(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(states_equal, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b


def read_log(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's log, one per epoch, without the time that it took."""
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def is_parameter(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def keep_arrays(folder: Path, *arrays: NDArray[np.uint8]) -> Photos:
    """Return photos, H x W x C, as training holds them once they are decoded."""
    path = folder / f"{len(list(folder.iterdir()))}.bin"
    path.write_bytes(b"".join(a.tobytes() for a in arrays))
    return Photos(path, [a.shape[:2] for a in arrays], arrays[0].shape[2])
