"""A classifier from folders of images to a self-describing weight file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from attnimg import checkpoints
from attnimg.datasets.classes import ClassName, Examples, class_root, find_examples, read_classes, split
from attnimg.datasets.reading import HELD_OUT
from attnimg.errors import UsageError
from attnimg.evaluation.calibration import fit_temperature
from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.nets.build import build_net, describe, read_architecture
from attnimg.nets.classifier import ClassifierConfig
from attnimg.tasks.preprocessing import Normalize
from attnimg.training.classification import Classification
from attnimg.training.packing import pack
from attnimg.training.recipe import ClassifyRecipe
from attnimg.training.run import Options, Run, describe_training, round_weights


def train_classifier(recipe: ClassifyRecipe, data: Path, folder: Path, **options: Any) -> Path | None:
    """Train on DATA (`datasets.classes`) and return the path of the weight file; None on all devices but the first.

    folder: takes recipe.toml, log.csv, curves.png, checkpoints and the result. options: of `run.Options`; validation is
    a folder of classes (default DATA/val, else a seeded tenth of the training images), start_from gives net,
    normalisation and weights but for the logits.
    """
    run = Run(recipe, folder, Options(**options))
    say, workers = run.options.say, run.options.workers
    classes = read_classes(data)
    parts = _find_parts(data, run.options.validation, classes, recipe.seed)
    if len(parts[0]) < recipe.batch_size:
        raise UsageError(
            f"{len(parts[0])} training images do not fill a batch of {recipe.batch_size}; lower --batch-size."
        )
    start = run.read_start("classify")
    if start is not None:
        recipe = dataclasses.replace(recipe, net=cast(ClassifierConfig, read_architecture(start[0]["architecture"])))
    net_config = dataclasses.replace(recipe.net, classes=len(classes))
    recipe = dataclasses.replace(recipe, net=net_config, precision=run.precision)
    say(f"{len(classes)} classes, {len(parts[0])} training and {len(parts[1])} validation images")
    with run.preparing(recipe):
        packed = [(pack(part, recipe.size, folder, workers=workers, say=say), part.classes) for part in parts]

    torch.manual_seed(recipe.seed)
    net = build_net(describe(recipe.net))
    normalize = Normalize()
    if start is not None:
        normalize = Normalize.of(start[0]["preprocessing"])
        net.load_state_dict({n: t for n, t in start[1].items() if not n.startswith("logits.")}, strict=False)
    task = Classification(recipe, packed[0], packed[1], normalize)
    trained = run.fit(task, net, recipe)
    if trained is None:
        return None
    write_classifier(run.result, trained, task, classes, run.fabric.device)
    return run.result


def write_classifier(
    path: Path, net: nn.Module, task: Classification, classes: tuple[ClassName, ...], device: torch.device
) -> None:
    """Write a net in half precision with a temperature fitted, and its figures measured, on the validation images."""
    recipe = task.recipe
    tensors = round_weights(net)
    with torch.inference_mode():
        logits, targets = (torch.cat(parts) for parts in zip(*task.logits(net, device), strict=True))
    temperature = fit_temperature(logits, targets)
    metrics = ClassificationMetrics(len(classes))
    metrics.update(logits / temperature, targets)
    header = {
        "task": "classify",
        "architecture": describe(recipe.net),
        "classes": [dataclasses.asdict(c) for c in classes],
        "preprocessing": {**dataclasses.asdict(task.normalize), "size": recipe.size, "fit": "centre square"},
        "temperature": temperature,
        "attention": "attention",
        "parameters": sum(p.numel() for p in net.parameters()),
        "training": describe_training(recipe, task.examples),
        "figures": [
            {"name": name, "value": round(value, 4), "on": f"the {metrics.images} images that chose the epoch"}
            for name, value in metrics.results()
        ],
    }
    checkpoints.write(path, header, tensors)


def _find_parts(
    data: Path, validation: Path | None, classes: tuple[ClassName, ...], seed: int
) -> tuple[Examples, Examples]:
    train = find_examples(class_root(data), classes)
    if validation is None and (data / "val").is_dir():
        validation = data / "val"
    if validation is not None:
        return train, find_examples(validation, classes)
    return split(train, HELD_OUT, seed)
