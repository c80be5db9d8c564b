"""A training run from data to a self-describing weight file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric

from attnimg import checkpoints
from attnimg.datasets import class_root, find_examples, read_classes, split
from attnimg.errors import UsageError
from attnimg.evaluation.calibration import fit_temperature
from attnimg.nets.classifier import Classifier
from attnimg.tasks.preprocessing import Normalize
from attnimg.training.classification import Classification
from attnimg.training.curves import draw_curves
from attnimg.training.log import Log
from attnimg.training.loop import STATE, Progress, fit
from attnimg.training.packing import pack
from attnimg.training.recipe import Recipe, dump_toml

HELD_OUT = 0.1  # share of the training images that validates when the data set has no validation part
PRECISIONS: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


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
) -> Path:
    """Train on DATA (`datasets`) and return the path of the weight file, folder/<recipe name>.safetensors.

    folder: takes recipe.toml, log.csv, the state and the result. validation: a folder of classes (default DATA/val,
    else a seeded tenth of the training images). start_from: a model's name or path whose weights are the start, where
    shapes agree.
    """
    if resume and not (folder / STATE).is_file():
        raise UsageError(f"{folder} holds no run to resume; leave --resume out to begin one.")
    if not resume and (folder / STATE).is_file():
        raise UsageError(f"{folder} holds a run already; add --resume to go on with it, or choose another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    classes = read_classes(data)
    recipe = dataclasses.replace(recipe, net=dataclasses.replace(recipe.net, classes=len(classes)))
    train = find_examples(class_root(data), classes)
    if validation is None and (data / "val").is_dir():
        validation = data / "val"
    if validation is not None:
        held_out = find_examples(validation, classes)
    else:
        train, held_out = split(train, HELD_OUT, recipe.seed)
    if len(train) < recipe.batch_size:
        raise UsageError(
            f"{len(train)} training images do not fill one batch of {recipe.batch_size}; lower --batch-size."
        )
    say(f"{len(classes)} classes, {len(train)} training and {len(held_out)} validation images")
    packed = [(pack(e, recipe.size, folder, workers=workers), e.classes) for e in (train, held_out)]
    (folder / "recipe.toml").write_text(dump_toml(recipe))

    torch.manual_seed(recipe.seed)
    net = Classifier(recipe.net)
    normalize = Normalize()
    if start_from is not None:
        say(start_weights(net, start_from))
    fabric = Fabric(accelerator=device, devices=devices, precision=PRECISIONS[recipe.precision])
    fabric.launch()
    task = Classification(recipe, packed[0], packed[1], normalize)
    trained = fit(task, net, recipe, folder, fabric, resume=resume, steps=steps, watch=watch)

    draw_curves(Log(folder / "log.csv"), folder / "curves.png")
    with torch.inference_mode():
        outputs = list(task.logits(trained, torch.device("cpu")))
    logits, targets = torch.cat([o[0] for o in outputs]), torch.cat([o[1] for o in outputs])
    header = {
        "task": "classify",
        "architecture": {"name": "classifier", **dataclasses.asdict(recipe.net)},
        "classes": [dataclasses.asdict(c) for c in classes],
        "preprocessing": {**dataclasses.asdict(normalize), "size": recipe.size, "fit": "centre square"},
        "temperature": fit_temperature(logits, targets),
        "attention": "attention",
        "parameters": sum(p.numel() for p in trained.parameters()),
        "training": {
            "recipe": recipe.name,
            "images": len(train),
            "epochs": recipe.epochs,
            "size": recipe.size,
            "seed": recipe.seed,
        },
        "figures": [],
    }
    path = folder / f"{recipe.name}.safetensors"
    half = {n: t.half() if t.is_floating_point() else t for n, t in trained.state_dict().items()}
    checkpoints.write(path, header, half)
    return path


def start_weights(net: torch.nn.Module, model: str) -> str:
    """Load the weights of a model where names and shapes agree; returns a sentence that tells how many did."""
    _, tensors = checkpoints.read(checkpoints.find(model))
    own = net.state_dict()
    fitting = {n: t for n, t in tensors.items() if n in own and own[n].shape == t.shape}
    if not any(t.ndim > 1 for t in fitting.values()):
        raise UsageError(f"No weight of {model} fits this net; use the recipe that it was trained with.")
    net.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} of {len(own)} tensors start from {model}"
