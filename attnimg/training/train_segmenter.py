"""A segmenter from photos and masks to a self-describing weight file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from attnimg import checkpoints
from attnimg.datasets.masks import ClassTable, find_masked, read_class_table
from attnimg.errors import UsageError
from attnimg.nets.build import describe, read_architecture
from attnimg.nets.segmenter import Segmenter, SegmenterConfig
from attnimg.tasks.preprocessing import Normalize
from attnimg.training.photos import keep_masked
from attnimg.training.recipe import SegmentRecipe
from attnimg.training.run import Options, Run, describe_training, round_weights
from attnimg.training.segmentation import Segmentation, Supervised


def train_segmenter(recipe: SegmentRecipe, data: Path, folder: Path, **options: Any) -> Path | None:
    """Train on DATA (`datasets.masks`) and return the path of the weight file; None on all devices but the first.

    folder, options: as of `train_classifier`; validation is a folder with images/ and masks/ (default DATA/val),
    start_from gives net, normalisation and weights, or, of a classifier, the beginning of the backbone.
    """
    run = Run(recipe, folder, Options(**options))
    table = read_class_table(data)
    train = find_masked(data / "train")
    validation = find_masked(run.options.validation or data / "val")
    if len(train) * recipe.crops < recipe.batch_size:
        raise UsageError(f"{len(train)} photos do not fill a batch of {recipe.batch_size}; lower --batch-size.")
    start = run.read_start("segment", "classify")
    if start is not None and start[0]["task"] == "segment":
        recipe = dataclasses.replace(recipe, net=cast(SegmenterConfig, read_architecture(start[0]["architecture"])))
    net_config = dataclasses.replace(recipe.net, classes=len(table.classes))
    recipe = dataclasses.replace(recipe, net=net_config, precision=run.precision)
    run.options.say(f"{len(table.classes)} classes, {len(train)} training and {len(validation)} validation photos")
    with run.preparing(recipe):
        keep = partial(keep_masked, table=table, folder=folder, workers=run.options.workers, say=run.options.say)
        kept = keep(train), keep(validation)

    torch.manual_seed(recipe.seed)
    net, normalize = Segmenter(recipe.net), Normalize()
    if start is not None:
        normalize = Normalize.of(start[0]["preprocessing"])
        run.options.say(take_weights(net, *start, table))
    task = Segmentation(recipe, kept[0], kept[1], table, normalize)
    trained = run.fit(task, Supervised(net), recipe)
    if trained is None:
        return None
    write_segmenter(run.result, cast(Supervised, trained), task, run.fabric.device)
    return run.result


def write_segmenter(path: Path, trained: Supervised, task: Segmentation, device: torch.device) -> None:
    """Write a net in half precision, with its figures measured on the validation photos."""
    tensors = round_weights(trained.net)
    with torch.inference_mode():
        figures = dict(task.validate(trained, device))
    header = {
        "task": "segment",
        "architecture": describe(task.recipe.net),
        **task.header(),
        "parameters": sum(p.numel() for p in trained.net.parameters()),
        "training": describe_training(task.recipe, len(task.train)),
        "figures": [
            {"name": name, "value": round(value, 4), "on": "the validation photos that chose the epoch"}
            for name, value in figures.items()
        ],
    }
    checkpoints.write(path, header, tensors)


def take_weights(net: nn.Module, header: Mapping[str, Any], tensors: Mapping[str, Tensor], table: ClassTable) -> str:
    """Give a net the weights of a model, and say which.

    Of a segmenter, all, but for the logits where its classes are others. Of a classifier, the backbone's up to the
    first that does not fit: what lies behind was learnt on other features. UsageError: nothing fits.
    """
    own = net.state_dict()
    if header["task"] == "segment":
        same = [c["label"] for c in header["classes"]] == [c.label for c in table.classes]
        names = [name for name in own if same or not name.startswith("logits.")]
    else:
        backbone = [name for name in own if name.startswith("backbone.")]
        names = list(takewhile(lambda n: n in tensors and tensors[n].shape == own[n].shape, backbone))
    if not names:
        raise UsageError(
            "The classifier's backbone begins otherwise than the recipe's. Give both one width, or leave --from out."
        )
    net.load_state_dict({name: tensors[name] for name in names}, strict=False)
    return f"took {len(names)} of {len(own)} tensors, up to {names[-1]}"
