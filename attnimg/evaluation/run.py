"""Measure a classifier on a folder-per-class data set, by the very code that classifies users' photos."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import torch

from attnimg.datasets import find_examples
from attnimg.errors import ImageError, UsageError
from attnimg.evaluation.classification import ClassificationMetrics
from attnimg.images.find import Source
from attnimg.images.read import read
from attnimg.tasks.classify import Classifier, Prepared


def evaluate_classifier(
    classifier: Classifier,
    data: Path,
    *,
    batch_size: int = 64,
    workers: int = 2,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ClassificationMetrics:
    """Classify DATA/val (or DATA itself, without one) and return the metrics, temperature included.

    Class folders are named by the ids of the model's classes. A folder that is none of them, or an unreadable image, is
    a `UsageError` that names it: a measure over the rest would not be the data set's. watch: is told how many images
    of how many are done.
    """
    classes = classifier.classes
    if (data / "train").is_dir() and not (data / "val").is_dir():
        raise UsageError(f"{data} has no val/; name the folder of classes to measure on, such as {data / 'train'}.")
    root = data / "val" if (data / "val").is_dir() else data
    examples = find_examples(root, classes, all_classes=False)
    metrics = ClassificationMetrics(len(classes))

    def prepare(file: str) -> Prepared:
        try:
            return classifier.prepare(read(Source(file, PurePath(file)), shortest=classifier.shortest).on_white())
        except ImageError as error:
            raise UsageError(f"{file} cannot be measured: {error.message} Remove or mend it.") from error

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(examples), batch_size):
            part = slice(start, start + batch_size)
            scores = classifier.predict(list(pool.map(prepare, examples.files[part])))
            probabilities = torch.stack([torch.from_numpy(s.probabilities) for s in scores])
            metrics.update(
                probabilities.clamp(min=torch.finfo(torch.float32).tiny).log(), torch.tensor(examples.classes[part])
            )
            watch(start + len(scores), len(examples))
    return metrics
