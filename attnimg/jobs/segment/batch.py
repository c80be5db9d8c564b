"""A segmentation of files: its names, its journal, its job."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from attnimg.images.reader import Reader
from attnimg.jobs.batch import Batch
from attnimg.jobs.destination import find_sources, open_destination
from attnimg.jobs.journaling import Invocation, open_journal
from attnimg.jobs.segment.dataset_files import DatasetFiles
from attnimg.jobs.segment.names import MASK, ClassFilter, choose_extras, find_single_file
from attnimg.jobs.segment.options import SegmentOptions
from attnimg.jobs.source_queue import SourceQueue
from attnimg.models.sources import check_attention, find_model
from attnimg.pipeline.job import Job
from attnimg.records import Segmented


def prepare(options: SegmentOptions, reader: Reader, invocation: Invocation) -> Batch:
    """Return the batch. Raises as `attnimg.run` does."""
    outputs, masks = options.outputs, options.masks
    output = outputs.output or Path()
    model = find_model(options.model)
    check_attention(model, wanted=outputs.overlay)
    classes = ClassFilter.of(masks, [entry["label"] for entry in model.header.get("classes", ())], options.model)
    queue = SourceQueue(options.inputs, output)
    only = find_single_file(output)
    find_sources(options, queue, only)
    journal = open_journal(options, invocation, options.model, Segmented, masks.coco, masks.summary)
    extras = choose_extras(masks, classes, overlay=outputs.overlay)
    names = partial(
        open_destination(options, only, queue, journal, reader, invocation).plan, extension=MASK, extras=extras
    )
    dataset = DatasetFiles(
        masks.coco, masks.summary, overwrite=outputs.overwrite, inputs=queue.known or (), journal=journal
    )

    def build() -> Job[Any, Any]:
        from attnimg.jobs.segment.job import SegmentJob  # imports torch, which takes seconds

        return SegmentJob.build(options, reader, names, classes, extras, dataset)

    return Batch(options, queue, journal, reader, Segmented, names, build, dataset, dataset.paths)
