"""An enhancement of files: its names, its journal, its job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attnimg.errors import UsageError
from attnimg.images.reader import Reader
from attnimg.jobs.batch import Batch
from attnimg.jobs.destination import find_sources, open_destination
from attnimg.jobs.enhance.names import EnhanceNames, find_single_file
from attnimg.jobs.enhance.options import EnhanceOptions
from attnimg.jobs.journaling import Invocation, open_journal
from attnimg.jobs.source_queue import SourceQueue
from attnimg.models.sources import check_attention, find_model
from attnimg.pipeline.job import Job
from attnimg.records import Enhanced


def prepare(options: EnhanceOptions, reader: Reader, invocation: Invocation) -> Batch:
    """Return the batch. Raises as `attnimg.run` does."""
    outputs, writing = options.outputs, options.writing
    output = outputs.output or Path()
    queue = SourceQueue(options.inputs, output, videos=options.video)
    only = find_single_file(output, writing)
    if writing.suffix and (outputs.to_stdout or only):
        raise UsageError("--suffix is for the names in a folder, and -o names none. Leave it out, or name a folder.")
    sources = find_sources(options, queue, only)
    if outputs.to_stdout and any(source.kind == "video" for source in sources):
        raise UsageError("-o - writes a photo, and a video needs a file. Name one, or a folder.")
    check_attention(find_model(options.model), wanted=outputs.overlay)
    journal = open_journal(options, invocation, options.model, Enhanced)
    destination = open_destination(options, only, queue, journal, reader, invocation)
    names = EnhanceNames(destination, writing, overlay=outputs.overlay)

    def build() -> Job[Any, Any]:
        from attnimg.jobs.enhance.job import EnhanceJob  # imports torch, which takes seconds

        return EnhanceJob.build(options, reader, names)

    return Batch(options, queue, journal, reader, Enhanced, names.plan, build)
