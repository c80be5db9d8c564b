"""Registry of the tasks; loading, checking, cards, training, evaluation and the commands are driven by its entries.

References are strings, so that nothing is imported before it is needed. A new task adds its own files and one entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from attnimg.errors import UsageError


@dataclass(frozen=True)
class Reference:
    """Refers to an object that is imported later. target: `package.module:name`."""

    target: str

    def load(self) -> Any:
        """Import the module and return the object."""
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


@dataclass(frozen=True)
class Task:
    """A task, as the rest of the code sees it. Fields with a default are optional.

    sentence: description of its models, for cards. model: name of the default model. options, prepare: of its command
    on images (`options.common.ImageOptions`, `jobs.batch.Batch`). nets: its nets by the name in a header's
    `architecture`; each is built from its dataclass `Config`. predictor: class of its predictor, see `load.load`.
    evaluation_options, measure: of `attnimg evaluate`. training_options, trainer: of `attnimg train`
    (`training.trainer.Trainer`). figures: measures shown on cards; the first decides which of two models is better.
    """

    summary: str
    sentence: str
    model: str
    options: Reference
    prepare: Reference
    nets: Mapping[str, Reference] = field(default_factory=dict)
    predictor: Reference | None = None
    evaluation_options: Reference | None = None
    measure: Reference | None = None
    training_options: Reference | None = None
    trainer: Reference | None = None
    figures: tuple[str, ...] = ()


TASKS: dict[str, Task] = {
    "classify": Task(
        summary="Label images, best label first.",
        sentence="It says what an image shows: labels with calibrated scores, best first.",
        model="objects",
        nets={"classifier": Reference("attnimg.nets.classifier:ClassifierNet")},
        predictor=Reference("attnimg.predictors.classify:Classifier"),
        options=Reference("attnimg.jobs.classify.options:ClassifyOptions"),
        prepare=Reference("attnimg.jobs.classify.batch:prepare"),
        evaluation_options=Reference("attnimg.evaluation.options:ClassifyEvaluation"),
        measure=Reference("attnimg.evaluation.tasks.classify:measure"),
        training_options=Reference("attnimg.training.options:ClassifyTraining"),
        trainer=Reference("attnimg.training.tasks.classify:CLASSIFY"),
        figures=("top1", "top5", "loss", "ece"),
    ),
    "segment": Task(
        summary="Assign a class to every pixel, as masks whose values are class ids.",
        sentence="It says for every pixel of an image to which class it belongs.",
        model="street",
        nets={"segmenter": Reference("attnimg.nets.segmenter:SegmenterNet")},
        predictor=Reference("attnimg.predictors.segment:Segmenter"),
        options=Reference("attnimg.jobs.segment.options:SegmentOptions"),
        prepare=Reference("attnimg.jobs.segment.batch:prepare"),
        evaluation_options=Reference("attnimg.evaluation.options:SegmentEvaluation"),
        measure=Reference("attnimg.evaluation.tasks.segment:measure"),
        training_options=Reference("attnimg.training.options:SegmentTraining"),
        trainer=Reference("attnimg.training.tasks.segment:SEGMENT"),
        figures=("miou", "pixel_accuracy", "boundary_f"),
    ),
    "enhance": Task(
        summary="Brighten photos and videos taken in low light, and remove their noise.",
        sentence="It brightens and cleans photographs taken in low light.",
        model="night",
        nets={"enhancer": Reference("attnimg.nets.enhancer.net:EnhancerNet")},
        predictor=Reference("attnimg.predictors.enhance:Enhancer"),
        options=Reference("attnimg.jobs.enhance.options:EnhanceOptions"),
        prepare=Reference("attnimg.jobs.enhance.batch:prepare"),
        evaluation_options=Reference("attnimg.evaluation.options:EnhanceEvaluation"),
        measure=Reference("attnimg.evaluation.tasks.enhance:measure"),
        training_options=Reference("attnimg.training.options:EnhanceTraining"),
        trainer=Reference("attnimg.training.tasks.enhance:ENHANCE"),
        figures=("psnr", "ssim", "brightness_error"),
    ),
}


def find_task(name: str) -> Task:
    """Return the task called `name`. UsageError: there is none."""
    if name not in TASKS:
        raise UsageError(f"There is no task {name!r}. There are {', '.join(TASKS)}.")
    return TASKS[name]
