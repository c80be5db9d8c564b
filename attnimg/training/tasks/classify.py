"""Training of classifiers: data set, net and header."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attnimg.attention import mechanisms
from attnimg.datasets.classes import Examples, class_root, find_examples, read_classes, split
from attnimg.datasets.reading import HELD_OUT
from attnimg.evaluation.calibration import fit_temperature
from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.labels import ClassName
from attnimg.models.build import build_net, describe, read_architecture
from attnimg.models.preprocessing import Preprocessing
from attnimg.training.cache.squares import Pixels, cache_squares
from attnimg.training.loop import Task
from attnimg.training.recipe import ClassifyRecipe
from attnimg.training.run import NORMALIZATION, Options, Run, describe_figures, describe_training
from attnimg.training.tasks.classification import Classification
from attnimg.training.trainer import Start


@dataclass(frozen=True)
class ClassParts:
    """The classes, and the images of the training and validation parts."""

    classes: tuple[ClassName, ...]
    train: Examples
    validation: Examples

    def count(self, recipe: ClassifyRecipe) -> int:
        """As of `trainer.Parts`."""
        return len(self.train)

    def describe(self) -> str:
        """As of `trainer.Parts`."""
        return f"{len(self.classes)} classes, {len(self.train)} training and {len(self.validation)} validation images"


class ClassifierTrainer:
    """As of `trainer.Trainer`, for data sets of `datasets.classes`."""

    task = "classify"
    recipe = ClassifyRecipe
    starts = ("classify",)

    def choose_recipe(self, start_from: str | None) -> str:
        """Return the name of the default recipe."""
        return "finetune" if start_from else "objects-cpu"

    def find(self, recipe: ClassifyRecipe, data: Path, options: Options, extras: dict[str, Any]) -> ClassParts:
        """Find the images. Validation is --val, else DATA/val, else a seeded tenth of the training images."""
        classes = read_classes(data)
        train, validation = find_examples(class_root(data), classes), options.validation
        if validation is None and (data / "val").is_dir():
            validation = data / "val"
        if validation is not None:
            return ClassParts(classes, train, find_examples(validation, classes))
        return ClassParts(classes, *split(train, HELD_OUT, recipe.seed))

    def adapt(self, recipe: ClassifyRecipe, parts: ClassParts, start: Start | None, options: Options) -> ClassifyRecipe:
        """Use the net of the model that the run starts from, with the data set's classes."""
        net = recipe.net if start is None else read_architecture(start[0]["architecture"])
        return dataclasses.replace(recipe, net=dataclasses.replace(net, classes=len(parts.classes)))

    def decode(self, recipe: ClassifyRecipe, parts: ClassParts, run: Run) -> list[Pixels]:
        """Decode the center squares of both parts."""
        options = run.options
        return [
            cache_squares(part, recipe.size, run.folder, workers=options.workers, say=options.say)
            for part in (parts.train, parts.validation)
        ]

    def build(
        self, recipe: ClassifyRecipe, parts: ClassParts, decoded: list[Pixels], start: Start | None, run: Run
    ) -> tuple[nn.Module, Task]:
        """Build the net. A model to start from gives all weights except those of the logits, and the normalization."""
        net = build_net(describe(recipe.net))
        preprocessing = Preprocessing("square", recipe.size, *NORMALIZATION)
        if start is not None:
            initial = Preprocessing.of(start[0], "square")
            preprocessing = dataclasses.replace(initial, size=recipe.size)
            net.load_state_dict({n: t for n, t in start[1].items() if not n.startswith("logits.")}, strict=False)
        train, validation = ((p, e.classes) for p, e in zip(decoded, (parts.train, parts.validation), strict=True))
        return net, Classification(recipe, train, validation, preprocessing)

    def kept(self, trained: nn.Module) -> nn.Module:
        """Return the whole net."""
        return trained

    def header(
        self, trained: nn.Module, task: Classification, parts: ClassParts, device: torch.device
    ) -> dict[str, Any]:
        """Fit the temperature and measure the figures on the validation images."""
        with torch.inference_mode():
            logits, targets = (torch.cat(both) for both in zip(*task.logits(trained, device), strict=True))
        temperature = fit_temperature(logits, targets)
        metrics = ClassificationMetrics(len(parts.classes))
        metrics.update(logits / temperature, targets)
        return {
            "classes": [dataclasses.asdict(c) for c in parts.classes],
            "preprocessing": task.preprocessing.to_dict(),
            "temperature": temperature,
            "attention": "attention" if "attention" in mechanisms(trained) else None,
            "training": describe_training(task.recipe, task.examples),
            "figures": describe_figures(metrics.results(), f"the {metrics.images} images that chose the epoch"),
        }


CLASSIFY = ClassifierTrainer()
