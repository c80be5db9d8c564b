"""Measurement of classifiers, with the same preprocessing and prediction as on the user's photos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from attnimg.datasets.classes import Examples, class_root, find_examples, split
from attnimg.datasets.reading import HELD_OUT, read_all, read_photo
from attnimg.errors import UsageError
from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.evaluation.options import ClassifyEvaluation
from attnimg.evaluation.report import Evaluation, write_classes
from attnimg.evaluation.tasks.parts import Watch, measured_part
from attnimg.labels import ClassName
from attnimg.models.sources import find_model
from attnimg.predictors.classify import Classifier, Prepared, load_classifier


def measure(options: ClassifyEvaluation, watch: Watch) -> Evaluation:
    """Measure the model of the options."""
    compute = options.compute
    classifier = load_classifier(options.model, device=compute.device, precision=compute.precision, views=options.views)
    return evaluate_classifier(
        classifier,
        options.data,
        training=find_model(options.model).header.get("training"),
        batch_size=compute.batch_size,
        workers=compute.threads,
        watch=watch,
    )


def evaluate_classifier(
    classifier: Classifier,
    data: Path,
    *,
    training: object = None,
    batch_size: int = 64,
    workers: int = 2,
    watch: Watch = lambda done, total: None,
) -> Evaluation:
    """Classify DATA/val, with the temperature; without it, the images that training on DATA held out, or all of DATA.

    Class folders are named by the ids of the model's classes. training: of the model's header; it identifies the images
    that were held out. watch: takes the number of images that are done, and the total. UsageError: a folder is not a
    class, or images cannot be read; the message names them. A measure of the other images would not be comparable.
    """
    examples, description = _find_examples(data, classifier.classes, training)
    metrics = ClassificationMetrics(len(classifier.classes))

    def prepare(file: str) -> Prepared:
        return classifier.prepare(read_photo(file, shortest=classifier.shortest).on_white())

    prepared = read_all(examples.files, prepare, workers=workers)
    while batch := list(islice(prepared, batch_size)):
        probabilities = torch.stack([torch.from_numpy(s.probabilities) for s in classifier.predict(batch)])
        targets = torch.tensor(examples.classes[metrics.images : metrics.images + len(batch)])
        metrics.update(probabilities.clamp(min=torch.finfo(torch.float32).tiny).log(), targets)
        watch(metrics.images, len(examples))
    labels = {c.id: c.label for c in classifier.classes}
    return Evaluation(metrics, description, partial(write_classes, metrics=metrics, classes=labels))


def _find_examples(data: Path, classes: Sequence[ClassName], training: object) -> tuple[Examples, str]:
    """Return the images to classify, and a description of them."""
    if not (data / "val").is_dir() and (held_out := _find_held_out(data, classes, training)):
        return held_out, f"the images of {data} that training held out"
    root = measured_part(data)
    return find_examples(root, classes, all_classes=False), f"all images of {root}"


def _find_held_out(data: Path, classes: Sequence[ClassName], training: object) -> Examples | None:
    """Split DATA as training did; None if the number of images shows that training used others or another split."""
    match training:
        case {"seed": int(seed), "images": int(images)}:
            try:
                rest, held_out = split(find_examples(class_root(data), classes), HELD_OUT, seed)
            except UsageError:  # the model was not trained on these
                return None
            return held_out if len(rest) == images else None
    return None
