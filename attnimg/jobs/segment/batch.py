"""A segmentation of files: its names, its journal, its job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnimg.files.outputs import STDOUT, Output
from attnimg.images.reader import Reader
from attnimg.jobs.batch import Batch, find_sources, name_outputs
from attnimg.jobs.journaling import Invocation, open_journal
from attnimg.jobs.segment.dataset_files import DatasetFiles
from attnimg.jobs.segment.names import ClassFilter, MaskNames, choose_extras, find_single_file
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
    folder = Path() if outputs.to_stdout else only.parent if only else output
    names = MaskNames(
        name_outputs(options, folder, queue, journal, reader),
        only=only,
        stdout=Output(STDOUT, stream=invocation.stdout) if outputs.to_stdout else None,
        extras=choose_extras(masks, classes, overlay=outputs.overlay),
    )
    dataset = DatasetFiles(
        masks.coco, masks.summary, overwrite=outputs.overwrite, inputs=queue.known or (), journal=journal
    )

    def build() -> Job[Any, Any]:
        from attnimg.jobs.segment.job import SegmentJob  # imports torch, which takes seconds

        return SegmentJob.build(options, reader, names, classes, dataset)

    return Batch(options, queue, journal, reader, Segmented, names.plan, build, dataset, dataset.paths)
