"""A task that joins by this file and one registry entry: it decodes photos and writes them as they are.

Its command does all that the others do but load a net, and so shows in half a second how a fault affects any of them.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from attnimg.drawing.write import write_drawing
from attnimg.files.outputs import OutputNames, Outputs
from attnimg.files.source import Source
from attnimg.images.reader import Reader
from attnimg.jobs.batch import Batch
from attnimg.jobs.destination import name_outputs
from attnimg.jobs.journaling import Invocation, open_journal
from attnimg.jobs.source_queue import SourceQueue
from attnimg.models.registry import Reference, Task
from attnimg.options.common import ImageOptions, Model
from attnimg.options.option import Option
from attnimg.pipeline.job import Job
from attnimg.records import Enhanced, Record

ENDING = ".copy.png"

TASK = Task(
    summary="Write photos as they are.",
    sentence="It copies photos.",
    model="copy",
    options=Reference("helpers.copy_task:CopyOptions"),
    prepare=Reference("helpers.copy_task:prepare"),
)
"""The registry entry."""


@dataclass(frozen=True)
class CopyOptions(ImageOptions):
    """Write photos as they are."""

    model: Model = TASK.model
    slow: Annotated[float, Option(help="Seconds that each photo takes.")] = 0.0
    gray: Annotated[int | None, Option(help="Write photos of one gray instead.")] = None


def prepare(options: CopyOptions, reader: Reader, invocation: Invocation) -> Batch:
    output = options.outputs.output or Path()
    queue = SourceQueue(options.inputs, output)
    journal = open_journal(options, invocation, options.model, Enhanced)
    job = CopyJob(name_outputs(options, output, queue, journal, reader), reader, options.slow, options.gray)
    return Batch(options, queue, journal, reader, Enhanced, job.plan, lambda: job)


class CopyJob(Job[Any, Any]):
    def __init__(self, names: OutputNames, reader: Reader, slow: float, gray: int | None) -> None:
        self.names, self.reader, self.slow, self.gray = names, reader, slow, gray

    def plan(self, source: Source) -> Outputs:
        return {"output": self.names.place(source, ENDING)}

    def admit(self, source: Source) -> Record | Outputs:
        return self.plan(source)

    def read(self, source: Source, outputs: Outputs) -> Any:
        time.sleep(self.slow)
        return self.reader.read(source), outputs["output"]

    def shape(self, ready: Any) -> None:
        return None

    def pixels(self, ready: Any) -> int:
        return 1

    def predict(self, batch: list[Any]) -> list[Any]:
        return batch

    def write(self, source: Source, ready: Any, outcome: Any) -> Record:
        image, output = ready
        pixels = image.pixels if self.gray is None else np.full_like(image.pixels, self.gray)
        write_drawing(output, pixels)
        return Enhanced(source.path, os.fspath(output.path), "copy", *image.size)
