"""Training of segmenters: data set, net and header."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

import numpy as np
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
    """The classes, and the photos with their masks of the training and validation parts."""

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
    """As of `trainer.Trainer`, for data sets of `datasets.masks`."""

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
        """Use the net of a segmenter that the run starts from, with the data set's classes."""
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
        """Build the net. A model to start from gives the weights that fit, and the normalization."""
        net = SegmenterNet(recipe.net)
        mean, std = NORMALIZATION
        if start is not None:
            initial = Preprocessing.of(start[0], "shortest", "square")
            mean, std = initial.mean or mean, initial.std or std
            run.options.say(take_weights(net, *start, parts.table))
        # Photos are predicted at the median size of those in training.
        shortest = int(np.median([min(size) for size in decoded[0].sizes]))
        preprocessing = Preprocessing("shortest", shortest, mean, std)
        task = Segmentation(recipe, decoded[0], decoded[1], parts.table, preprocessing)
        return Supervised(net), task

    def kept(self, trained: nn.Module) -> nn.Module:
        """Return the net without the auxiliary logits."""
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
    """Load weights of a model into a net, and return a line that names them.

    From a segmenter all weights are loaded, except those of the logits if the classes differ. From a classifier those
    of the backbone are loaded, up to the first that does not fit: deeper ones were learned on other features.
    UsageError: none fits.
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
            "The classifier's backbone differs from the recipe's. Use the same widths for both, or leave --from out."
        )
    net.load_state_dict({name: tensors[name] for name in names}, strict=False)
    return f"took {len(names)} of {len(own)} tensors, up to {names[-1]}"


SEGMENT = SegmenterTrainer()
