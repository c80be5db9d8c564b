"""Training of enhancers: data set, net and header."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attnimg.datasets.pairs import Pairs, find_pairs, split_pairs
from attnimg.datasets.reading import HELD_OUT
from attnimg.errors import UsageError
from attnimg.models.build import build_net, describe, read_architecture
from attnimg.training.cache.photos import cache_photos
from attnimg.training.loop import Task
from attnimg.training.recipe import BRANCHES, EnhanceRecipe
from attnimg.training.run import Options, Run, describe_figures, describe_training
from attnimg.training.tasks.enhancement import Enhancement, PhotoPairs
from attnimg.training.trainer import Start


@dataclass(frozen=True)
class PairParts:
    """The photos of the training and validation parts."""

    train: Pairs
    validation: Pairs

    def count(self, recipe: EnhanceRecipe) -> int:
        """As of `trainer.Parts`."""
        return len(self.train) * recipe.crops

    def describe(self) -> str:
        """As of `trainer.Parts`."""
        return f"{len(self.train)} training and {len(self.validation)} validation photos"


class EnhancerTrainer:
    """As of `trainer.Trainer`, for data sets of `datasets.pairs`."""

    task = "enhance"
    recipe = EnhanceRecipe
    starts = ("enhance",)

    def choose_recipe(self, start_from: str | None) -> str:
        """Return the name of the default recipe."""
        return "finetune" if start_from else "night-cpu"

    def find(self, recipe: EnhanceRecipe, data: Path, options: Options, extras: dict[str, Any]) -> PairParts:
        """Find the pairs.

        extras: `synthesize`, whether photos without a partner are darkened. In that case, without DATA/val and --val, a
        seeded tenth of the photos is for validation.
        """
        synthesize = bool(extras.get("synthesize"))
        train = find_pairs(data / "train", all_paired=not synthesize)
        part = options.validation or data / "val"
        if synthesize and options.validation is None and not part.is_dir():
            return PairParts(*split_pairs(train, HELD_OUT, recipe.seed))
        return PairParts(train, find_pairs(part, all_paired=not synthesize))

    def adapt(self, recipe: EnhanceRecipe, parts: PairParts, start: Start | None, options: Options) -> EnhanceRecipe:
        """Use the net of the model that the run starts from; without one, train all branches."""
        if start is not None:
            return dataclasses.replace(recipe, net=read_architecture(start[0]["architecture"]))
        if options.resume or "exposure" in recipe.trainable:
            return recipe
        options.say(
            "Without --from, all branches are trained. Exposure and prior are better trained first: night-exposure."
        )
        return dataclasses.replace(recipe, trainable=BRANCHES)

    def decode(self, recipe: EnhanceRecipe, parts: PairParts, run: Run) -> list[PhotoPairs]:
        """Decode the photos of both parts. UsageError: the photos of a pair differ in size."""
        return [_decode(part, run) for part in (parts.train, parts.validation)]

    def build(
        self, recipe: EnhanceRecipe, parts: PairParts, decoded: list[PhotoPairs], start: Start | None, run: Run
    ) -> tuple[nn.Module, Task]:
        """Build the net and freeze the branches that are not trained."""
        net = build_net(describe(recipe.net))
        if start is not None:
            net.load_state_dict(start[1])
        for branch in BRANCHES:
            net.get_submodule(branch).requires_grad_(branch in recipe.trainable)
        return net, Enhancement(recipe, *decoded)

    def kept(self, trained: nn.Module) -> nn.Module:
        """Return the whole net."""
        return trained

    def header(self, trained: nn.Module, task: Enhancement, parts: PairParts, device: torch.device) -> dict[str, Any]:
        """Measure the figures on the validation photos."""
        return {
            **task.header(),
            "training": describe_training(task.recipe, len(task.train.normal)),
            "figures": describe_figures(task.validate(trained, device), "the validation photos that chose the epoch"),
        }


def _decode(pairs: Pairs, run: Run) -> PhotoPairs:
    cache = partial(cache_photos, folder=run.folder, workers=run.options.workers, say=run.options.say)
    present = [file for file in pairs.low if file is not None]
    index = iter(range(len(present)))
    partners = [None if file is None else next(index) for file in pairs.low]
    decoded = PhotoPairs(cache(present), cache(pairs.normal), partners)
    for i, (partner, file) in enumerate(zip(partners, pairs.normal, strict=True)):
        if partner is not None and decoded.low.sizes[partner] != decoded.normal.sizes[i]:
            raise UsageError(f"{present[partner]} and {file} differ in size. Scale or crop them alike.")
    return decoded


ENHANCE = EnhancerTrainer()
