"""Training a segmenter: from photos and masks to a header."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from attnimg.datasets.masks import ClassTable, find_masked, read_class_table
from attnimg.errors import UsageError
from attnimg.models.build import read_architecture
from attnimg.models.preprocessing import Preprocessing
from attnimg.nets.segmenter import SegmenterNet
from attnimg.training.cache.photos import Photos, cache_masked
from attnimg.training.loop import Task
from attnimg.training.recipe import SegmentRecipe
from attnimg.training.run import NORMALIZATION, Options, Run, describe_figures, describe_training
from attnimg.training.tasks.segmentation import Segmentation, Supervised
from attnimg.training.trainer import Start

Masked = list[tuple[str, str]]


@dataclass(frozen=True)
class MaskParts:
    """The classes, and the photos with their masks of both parts."""

    table: ClassTable
    train: Masked
    validation: Masked

    def count(self, recipe: SegmentRecipe) -> int:
        """As of `trainer.Parts`."""
        return len(self.train) * recipe.crops

    def describe(self) -> str:
        """As of `trainer.Parts`."""
        parts = f"{len(self.train)} training and {len(self.validation)} validation photos"
        return f"{len(self.table.classes)} classes, {parts}"


class SegmenterTrainer:
    """As of `trainer.Trainer`. The data set is that of `datasets.masks`."""

    task = "segment"
    recipe = SegmentRecipe
    starts = ("segment", "classify")

    def choose_recipe(self, start_from: str | None) -> str:
        """Return the name of the default recipe."""
        return "street-cpu"

    def find(self, recipe: SegmentRecipe, data: Path, options: Options, extras: dict[str, Any]) -> MaskParts:
        """Find the photos and masks. Validation is --val, else DATA/val."""
        table, train = read_class_table(data), find_masked(data / "train")
        return MaskParts(table, train, find_masked(options.validation or data / "val"))

    def adapt(self, recipe: SegmentRecipe, parts: MaskParts, start: Start | None, options: Options) -> SegmentRecipe:
        """Take the net of a segmenter that the run starts from, with the data set's classes."""
        net = recipe.net
        if start is not None and start[0]["task"] == "segment":
            net = read_architecture(start[0]["architecture"])
        return dataclasses.replace(recipe, net=dataclasses.replace(net, classes=len(parts.table.classes)))

    def decode(self, recipe: SegmentRecipe, parts: MaskParts, run: Run) -> list[Photos]:
        """Decode the photos and masks of both parts."""
        options = run.options
        cache = partial(cache_masked, table=parts.table, folder=run.folder, workers=options.workers, say=options.say)
        return [cache(parts.train), cache(parts.validation)]

    def build(
        self, recipe: SegmentRecipe, parts: MaskParts, decoded: list[Photos], start: Start | None, run: Run
    ) -> tuple[nn.Module, Task]:
        """Build the net; a model to start from gives weights that fit, and the normalization."""
        net = SegmenterNet(recipe.net)
        mean, std = NORMALIZATION
        if start is not None:
            began = Preprocessing.of(start[0], "shortest", "square")
            mean, std = began.mean or mean, began.std or std
            run.options.say(take_weights(net, *start, parts.table))
        shortest = find_shortest(decoded[0])
        preprocessing = Preprocessing("shortest", shortest, mean, std)
        task = Segmentation(recipe, decoded[0], decoded[1], parts.table, preprocessing)
        return Supervised(net), task

    def kept(self, trained: nn.Module) -> nn.Module:
        """Leave out the auxiliary logits."""
        return cast(Supervised, trained).net

    def header(self, trained: nn.Module, task: Segmentation, parts: MaskParts, device: torch.device) -> dict[str, Any]:
        """Measure the figures on the validation photos."""
        with torch.inference_mode():
            figures = dict(task.validate(trained, device))
        return {
            **task.header(),
            "training": describe_training(task.recipe, len(task.train)),
            "figures": describe_figures(figures.items(), "the validation photos that chose the epoch"),
        }


def take_weights(net: nn.Module, header: Mapping[str, Any], tensors: Mapping[str, Tensor], table: ClassTable) -> str:
    """Give a net the weights of a model, and return a line that says which.

    A segmenter gives all weights, except those of the logits if the classes differ. A classifier gives its backbone's
    up to the first that does not fit: deeper ones were learned on other features. UsageError: nothing fits.
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
            "The classifier's backbone differs from the recipe's. Give both the same widths, or leave --from out."
        )
    net.load_state_dict({name: tensors[name] for name in names}, strict=False)
    return f"took {len(names)} of {len(own)} tensors, up to {names[-1]}"


def find_shortest(photos: Photos) -> int:
    """Return the median of the photos' shortest sides, in pixels: the size at which photos are predicted."""
    sides = sorted(min(size) for size in photos.sizes)
    middle = len(sides) // 2
    return int(sides[middle] if len(sides) % 2 else (sides[middle - 1] + sides[middle]) / 2)


SEGMENT = SegmenterTrainer()
