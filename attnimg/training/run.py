"""A training run from data to a self-describing weight file."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from attnimg import checkpoints
from attnimg.datasets import ClassName, Examples, class_root, find_examples, read_classes, split
from attnimg.errors import Unavailable, UsageError
from attnimg.evaluation.calibration import fit_temperature
from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.nets.build import describe, read_architecture
from attnimg.nets.classifier import Classifier
from attnimg.tasks.device import choose_device
from attnimg.tasks.preprocessing import Normalize
from attnimg.training.classification import Classification
from attnimg.training.curves import draw_curves
from attnimg.training.log import Log
from attnimg.training.loop import LAST, LOG, Progress, fit
from attnimg.training.packing import pack
from attnimg.training.precision import choose_precision
from attnimg.training.recipe import Recipe, dump_toml, load_recipe

HELD_OUT = 0.1  # share of the training images that validates when the data set has no validation part
RECIPE = "recipe.toml"
FABRIC_PRECISIONS: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def train_classifier(
    recipe: Recipe,
    data: Path,
    folder: Path,
    *,
    validation: Path | None = None,
    start_from: str | None = None,
    resume: bool = False,
    device: str = "auto",
    devices: int = 1,
    workers: int = 2,
    steps: int | None = None,
    watch: Callable[[Progress, int], None] = lambda progress, total: None,
    say: Callable[[str], None] = lambda line: None,
) -> Path | None:
    """Train on DATA (`datasets`) and return the path of the weight file, folder/<name of the folder>.safetensors.

    folder: takes recipe.toml, log.csv, curves.png, checkpoints and the result. validation: a folder of classes (default
    DATA/val, else a seeded tenth of the training images). start_from: a model's name or path, whose net, normalisation
    and weights but for the logits are the start. devices: GPUs that share the work; all but the first return None.
    """
    check_folder(folder, resume)
    fabric = _launch(recipe, device, devices)
    if not fabric.is_global_zero:
        watch, say = lambda progress, total: None, lambda line: None

    classes = read_classes(data)
    train, held_out = _find_parts(data, validation, classes, recipe.seed)
    if len(train) < recipe.batch_size:
        raise UsageError(
            f"{len(train)} training images do not fill a batch of {recipe.batch_size}; lower --batch-size."
        )
    normalize = Normalize()
    start: dict[str, Any] | None = None
    if start_from is not None:
        start, tensors = checkpoints.read(checkpoints.find(start_from))
        recipe = dataclasses.replace(recipe, net=read_architecture(start["architecture"]))
        normalize = Normalize.of(start["preprocessing"])
    recipe = dataclasses.replace(
        recipe,
        net=dataclasses.replace(recipe.net, classes=len(classes)),
        precision=choose_precision(recipe.precision, fabric.device),
    )
    say(f"{len(classes)} classes, {len(train)} training and {len(held_out)} validation images")
    with fabric.rank_zero_first():
        folder.mkdir(parents=True, exist_ok=True)
        packed = [
            (pack(part, recipe.size, folder, workers=workers, say=say), part.classes) for part in (train, held_out)
        ]
        _keep_recipe(recipe, folder, resume)

    torch.manual_seed(recipe.seed)
    net = Classifier(recipe.net)
    if start is not None:
        net.load_state_dict({n: t for n, t in tensors.items() if not n.startswith("logits.")}, strict=False)
        say(f"starting from {start_from}")
    task = Classification(recipe, packed[0], packed[1], normalize)
    trained = fit(task, net, recipe, folder, fabric, resume=resume, steps=steps, watch=watch)
    if not fabric.is_global_zero:
        return None
    path = folder / f"{folder.resolve().name}.safetensors"
    write_classifier(path, trained, task, classes, fabric.device)
    draw_curves(Log(folder / LOG), folder / "curves.png")
    return path


def write_classifier(
    path: Path, net: torch.nn.Module, task: Classification, classes: tuple[ClassName, ...], device: torch.device
) -> None:
    """Write a net in half precision with a temperature fitted, and its figures measured, on the validation images."""
    recipe = task.recipe
    half = checkpoints.halve(net.state_dict())
    net.load_state_dict({n: t.float() if t.is_floating_point() else t for n, t in half.items()})
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
        "training": {
            "recipe": recipe.name,
            "images": task.examples,
            "epochs": recipe.epochs,
            "precision": recipe.precision,
            "seed": recipe.seed,
        },
        "figures": [
            {"name": name, "value": round(value, 4), "on": f"the {metrics.images} images that chose the epoch"}
            for name, value in metrics.results()
        ],
    }
    checkpoints.write(path, header, half)


def check_folder(folder: Path, resume: bool) -> None:
    """Raise UsageError where there is no run to resume, or one that would be trained over."""
    there = (folder / LAST).is_file()
    if resume and not there:
        raise UsageError(f"{folder} holds no run to resume; leave --resume out to begin one.")
    if there and not resume:
        raise UsageError(f"{folder} holds a run already; add --resume to go on with it, or choose another folder.")


def _keep_recipe(recipe: Recipe, folder: Path, resume: bool) -> None:
    """Write the recipe beside the run; a resumed run must have the one that it began with."""
    path = folder / RECIPE
    if resume:
        began = load_recipe(str(path))
        for field in dataclasses.fields(recipe):
            now, then = getattr(recipe, field.name), getattr(began, field.name)
            if now != then:
                raise UsageError(f"{path} has {field.name} {then}, not {now}; leave that out, or begin another run.")
    path.write_text(dump_toml(recipe))


def _launch(recipe: Recipe, device: str, devices: int) -> Fabric:
    chosen = choose_device(device)
    there = torch.cuda.device_count() if chosen.type == "cuda" else devices if chosen.type == "cpu" else 1
    if devices > there:
        raise Unavailable(f"There are {there} devices of the kind {chosen.type}, not {devices}; lower --devices.")
    if devices > 1 and chosen.index is not None:
        raise UsageError(f"--device {device} is one device; say --device {chosen.type} with --devices {devices}.")
    which: Any = devices if chosen.index is None else [chosen.index]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it tells of the precision
    precision = FABRIC_PRECISIONS[choose_precision(recipe.precision, chosen)]
    fabric = Fabric(accelerator=chosen.type, devices=which, precision=precision)
    fabric.launch()
    return fabric


def _find_parts(
    data: Path, validation: Path | None, classes: tuple[ClassName, ...], seed: int
) -> tuple[Examples, Examples]:
    train = find_examples(class_root(data), classes)
    if validation is None and (data / "val").is_dir():
        validation = data / "val"
    if validation is not None:
        return train, find_examples(validation, classes)
    return split(train, HELD_OUT, seed)
