"""Run a task on files and folders from Python, with the options and the records of the command."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

from attnimg.images.backends import allow_large_profiles
from attnimg.images.reader import open_reader
from attnimg.jobs.batch import Batch
from attnimg.jobs.journaling import Invocation
from attnimg.models.registry import find_task
from attnimg.options.common import ImageOptions
from attnimg.options.option import build_options, to_arguments
from attnimg.records import Record


def run(
    task: str, inputs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (), **options: Any
) -> Iterator[Record]:
    """Run a task on files, folders and patterns, and yield one record per input, in order.

    task: of `models.registry.TASKS`. options: those of the command by the same names, with `_` for `-`. The records
    are those that the command prints (`Record.to_dict`, `Record.to_json`); with `dry_run`, they name the files that
    would be written.

    Work begins with the first record. Errors of single inputs are records of type `Failed`. TypeError: an option is
    unknown. UsageError: its value is not allowed. Later also NoImages, Unavailable, OutputFailed, JournalFailed.
    """
    kind: type[ImageOptions] = find_task(task).options.load()
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    return _run(task, build_options(kind, inputs=given or None, **options))


def _run(task: str, options: ImageOptions) -> Iterator[Record]:
    with (
        open_batch(task, options) as batch,
        closing(batch.plan() if options.outputs.dry_run else batch.records()) as records,
    ):
        yield from records


@contextmanager
def open_batch(task: str, options: ImageOptions, *others: Any, stdout: BinaryIO | None = None) -> Iterator[Batch]:
    """Yield a task's batch.

    others: further options of the command line, for the journal. stdout: takes the output of `-o -`.
    """
    allow_large_profiles()
    inputs = options.inputs
    if stdout is None and options.outputs.to_stdout:
        stdout = sys.stdout.buffer  # not before it is needed: notebooks have no such buffer
    invocation = Invocation([task, *to_arguments(options, *others, without={"resume"})], stdout)
    with open_reader(
        inputs.max_pixels, isolate=inputs.isolate, workers=options.compute.threads, timeout=inputs.timeout
    ) as reader:
        batch: Batch = find_task(task).prepare.load()(options, reader, invocation)
        yield batch
