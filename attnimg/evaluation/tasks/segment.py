"""Measurement of segmenters, with the same preprocessing and prediction as on the user's photos."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from attnimg.datasets.masks import find_masked, read_class_table, read_masked
from attnimg.datasets.reading import read_all
from attnimg.errors import UsageError
from attnimg.evaluation.options import SegmentEvaluation
from attnimg.evaluation.report import Evaluation, write_masks
from attnimg.evaluation.segmentation import SegmentationMetrics
from attnimg.evaluation.tasks.parts import Watch, measured_part
from attnimg.masks.mask import Mask
from attnimg.predictors.segment import Prepared, Segmenter, load_segmenter


def measure(options: SegmentEvaluation, watch: Watch) -> Evaluation:
    """Measure the model of the options."""
    compute = options.compute
    segmenter = load_segmenter(options.model, device=compute.device, precision=compute.precision)
    return evaluate_segmenter(segmenter, options.data, workers=compute.threads, watch=watch)


def evaluate_segmenter(
    segmenter: Segmenter, data: Path, *, workers: int = 2, watch: Watch = lambda done, total: None
) -> Evaluation:
    """Segment the photos of DATA/val (or of DATA, if it has no val/) and compare the results with their masks.

    watch: as of `evaluate_classifier`. UsageError: the classes are not the model's, or files cannot be used; the
    message names them.
    """
    part, table = measured_part(data), read_class_table(data)
    ours, theirs = ([c.label for c in classes] for classes in (segmenter.classes, table.classes))
    if ours != theirs:
        raise UsageError(f"The data set's classes are {', '.join(theirs)}; the model has {', '.join(ours)}.")
    examples = find_masked(part)
    metrics = SegmentationMetrics(ours, outlines=True)

    def prepare(files: tuple[str, str]) -> tuple[Prepared, Mask]:
        photo, mask = read_masked(files, table)
        return segmenter.prepare(photo), mask

    for prepared, truth in read_all(examples, prepare, workers=workers):
        metrics.update(segmenter.predict([prepared])[0].mask, truth)
        watch(metrics.images, len(examples))
    return Evaluation(metrics, f"all photos of {part}", partial(write_masks, metrics=metrics))
