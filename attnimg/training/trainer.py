"""From a data set to a self-describing weight file: the steps that all tasks share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from attnimg.errors import UsageError
from attnimg.models import checkpoints
from attnimg.models.build import describe
from attnimg.training.loop import Task
from attnimg.training.recipe import Recipe
from attnimg.training.run import Options, Run, round_weights

R = TypeVar("R", bound=Recipe)

Start = tuple[dict[str, Any], dict[str, Tensor]]
"""Header and tensors of the model that a run starts from."""


class Parts(Protocol):
    """The training and validation parts of a data set."""

    def count(self, recipe: Any) -> int:
        """Return the training examples of an epoch."""
        ...

    def describe(self) -> str:
        """Return a line for the user."""
        ...


class Trainer(Protocol[R]):
    """The part of training that differs by task.

    task: its name. recipe: type of its recipes. starts: tasks whose models a run may start from.
    """

    task: str
    recipe: type[R]
    starts: tuple[str, ...]

    def choose_recipe(self, start_from: str | None) -> str:
        """Return the name of the default recipe."""
        ...

    def find(self, recipe: R, data: Path, options: Options, extras: dict[str, Any]) -> Any:
        """Return the parts of the data set. extras: the task's own options. UsageError: its form is wrong."""
        ...

    def adapt(self, recipe: R, parts: Any, start: Start | None, options: Options) -> R:
        """Return the recipe with the net that follows from the data set and the model that the run starts from."""
        ...

    def decode(self, recipe: R, parts: Any, run: Run) -> Any:
        """Decode the data set into the run's folder."""
        ...

    def build(self, recipe: R, parts: Any, decoded: Any, start: Start | None, run: Run) -> tuple[nn.Module, Task]:
        """Return the net, with the weights that it starts with, and the loop's task."""
        ...

    def kept(self, trained: nn.Module) -> nn.Module:
        """Return the part of the trained net that is kept."""
        ...

    def header(self, trained: nn.Module, task: Any, parts: Any, device: torch.device) -> dict[str, Any]:
        """Return the task's keys of the header: classes, preprocessing, attention, training, figures, ..."""
        ...


def train(trainer: Trainer[R], recipe: R, data: Path, folder: Path, *, options: Options, **extras: Any) -> Path | None:
    """Train on a data set and return the path of the weight file; None on all devices except the first.

    folder: gets recipe.toml, log.csv, curves.png, checkpoints and the result. extras: the task's own options.
    UsageError: options, data set or recipe are wrong; the message says what to change.
    """
    run = Run(recipe, folder, options)
    say = run.options.say
    parts = trainer.find(recipe, data, run.options, extras)
    if (count := parts.count(recipe)) < recipe.batch_size:
        raise UsageError(f"{count} training examples do not fill a batch of {recipe.batch_size}. Lower --batch-size.")
    start = run.read_start(*trainer.starts)
    recipe = dataclasses.replace(trainer.adapt(recipe, parts, start, run.options), precision=run.precision)
    say(parts.describe())
    with run.preparing(recipe):
        decoded = trainer.decode(recipe, parts, run)

    torch.manual_seed(recipe.seed)
    net, task = trainer.build(recipe, parts, decoded, start, run)
    trained = run.fit(task, net, recipe)
    if trained is None:
        return None
    kept = trainer.kept(trained)
    tensors = round_weights(kept)
    header = {
        "task": trainer.task,
        "architecture": describe(recipe.net),  # type: ignore[attr-defined]
        "parameters": sum(p.numel() for p in kept.parameters()),
        **trainer.header(trained, task, parts, run.fabric.device),
    }
    checkpoints.write(run.result, header, tensors)
    return run.result
