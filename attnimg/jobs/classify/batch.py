"""A classification of files: its names, its journal, its job."""

from __future__ import annotations

from typing import Any

from attnimg.images.reader import Reader
from attnimg.jobs.batch import Batch, Collector
from attnimg.jobs.classify.names import ClassifyNames
from attnimg.jobs.classify.options import ClassifyOptions
from attnimg.jobs.classify.sort import Sorter
from attnimg.jobs.destination import name_outputs
from attnimg.jobs.journaling import Invocation, open_journal
from attnimg.jobs.source_queue import SourceQueue
from attnimg.models.sources import check_attention, find_model
from attnimg.pipeline.job import Job
from attnimg.records import Classified


def prepare(options: ClassifyOptions, reader: Reader, invocation: Invocation) -> Batch:
    """Return the batch. Raises as `attnimg.run` does."""
    outputs, sort_into = options.outputs, options.sorting.sort_into
    model = find_model(options.model)
    check_attention(model, wanted=outputs.overlay)
    queue = SourceQueue(options.inputs, outputs.output, sort_into)
    # Outputs must not be found as inputs, nor inputs replaced: then all inputs are found before anything is written.
    if outputs.may_replace(options.inputs) or sort_into or options.writes_among_inputs:
        queue.wait()
    journal = open_journal(options, invocation, options.model, Classified)
    overlays = name_outputs(options, outputs.output, queue, journal, reader) if outputs.output else None
    collector = Collector()
    if sort_into:
        names = name_outputs(options, sort_into, queue, journal, reader)
        collector = Sorter(names, options.sorting.how, outputs.overwrite, journal)

    def build() -> Job[Any, Any]:
        from attnimg.jobs.classify.job import ClassifyJob  # imports torch, which takes seconds

        return ClassifyJob.build(options, reader, overlays)

    plan = ClassifyNames(overlays, sort_into).plan
    return Batch(options, queue, journal, reader, Classified, plan, build, collector)
