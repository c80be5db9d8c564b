"""An enhancer from pairs of photos, or from ordinary photos alone, to a self-describing weight file."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from attnimg import checkpoints
from attnimg.datasets.pairs import Pairs, find_pairs, split_pairs
from attnimg.datasets.reading import HELD_OUT
from attnimg.errors import UsageError
from attnimg.nets.build import build_net, describe, read_architecture
from attnimg.nets.enhancer import EnhancerConfig
from attnimg.training.enhancement import Enhancement, PhotoPairs
from attnimg.training.photos import keep_photos
from attnimg.training.recipe import BRANCHES, EnhanceRecipe
from attnimg.training.run import Options, Run, describe_training, round_weights


def train_enhancer(
    recipe: EnhanceRecipe, data: Path, folder: Path, *, synthesise: bool = False, **options: Any
) -> Path | None:
    """Train on DATA (`datasets.pairs`) and return the path of the weight file; None on all devices but the first.

    synthesise: photos in normal light without a partner are darkened, those that validate always alike. folder,
    options: as of `train_classifier`; validation is a folder with low/ and normal/ (default DATA/val, or, when that is
    not there and darkness is synthesised, a seeded tenth of the photos), start_from gives net and weights.
    """
    run = Run(recipe, folder, Options(**options))
    train = find_pairs(data / "train", all_paired=not synthesise)
    part = run.options.validation or data / "val"
    if synthesise and run.options.validation is None and not part.is_dir():
        train, validation = split_pairs(train, HELD_OUT, recipe.seed)
    else:
        validation = find_pairs(part, all_paired=not synthesise)
    if len(train) * recipe.crops < recipe.batch_size:
        raise UsageError(f"{len(train)} photos do not fill a batch of {recipe.batch_size}; lower --batch-size.")
    start = run.read_start("enhance")
    if start is None and not run.options.resume and "look" not in recipe.learns:
        run.options.say("Without --from, all of the net learns. Look and odds are better taught before: night-look.")
        recipe = dataclasses.replace(recipe, learns=BRANCHES)
    if start is not None:
        recipe = dataclasses.replace(recipe, net=cast(EnhancerConfig, read_architecture(start[0]["architecture"])))
    recipe = dataclasses.replace(recipe, precision=run.precision)
    run.options.say(f"{len(train)} training and {len(validation)} validation photos")
    with run.preparing(recipe):
        parts = [_decode(part, run) for part in (train, validation)]

    torch.manual_seed(recipe.seed)
    net = build_net(describe(recipe.net))
    if start is not None:
        net.load_state_dict(start[1])
    for branch in BRANCHES:
        net.get_submodule(branch).requires_grad_(branch in recipe.learns)
    task = Enhancement(recipe, parts[0], parts[1])
    trained = run.fit(task, net, recipe)
    if trained is None:
        return None
    write_enhancer(run.result, trained, task, run.fabric.device)
    return run.result


def write_enhancer(path: Path, net: nn.Module, task: Enhancement, device: torch.device) -> None:
    """Write a net in half precision, with its figures measured on the validation photos."""
    tensors = round_weights(net)
    header = {
        "task": "enhance",
        "architecture": describe(task.recipe.net),
        **task.header(),
        "parameters": sum(p.numel() for p in net.parameters()),
        "training": describe_training(task.recipe, len(task.train.normal)),
        "figures": [
            {"name": name, "value": round(value, 4), "on": "the validation photos that chose the epoch"}
            for name, value in task.validate(net, device)
        ],
    }
    checkpoints.write(path, header, tensors)


def _decode(pairs: Pairs, run: Run) -> PhotoPairs:
    keep = partial(keep_photos, folder=run.folder, workers=run.options.workers, say=run.options.say)
    there = [file for file in pairs.low if file is not None]
    index = iter(range(len(there)))
    decoded = PhotoPairs(keep(there), keep(pairs.normal), [None if file is None else next(index) for file in pairs.low])
    for i, (partner, file) in enumerate(zip(decoded.partner, pairs.normal, strict=True)):
        if partner is not None and decoded.low.sizes[partner] != decoded.normal.sizes[i]:
            raise UsageError(f"{there[partner]} and {file} differ in size. Scale or crop them alike.")
    return decoded
