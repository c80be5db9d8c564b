"""Run a task on files and folders from Python: the same options, by the same names, and the same records."""

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
    are those that the command prints (`Record.to_dict`, `Record.to_json`); with `dry_run`, what would be written.

    Errors of single inputs are records of type `Failed`. UsageError, NoImages, Unavailable: as of the command.
    """
    kind: type[ImageOptions] = find_task(task).options.load()
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    built = build_options(kind, inputs=given or None, **options)
    with (
        open_batch(task, built) as batch,
        closing(batch.plan() if built.outputs.dry_run else batch.records()) as records,
    ):
        yield from records


@contextmanager
def open_batch(
    task: str, options: ImageOptions, *, stdout: BinaryIO | None = None, arguments: list[str] | None = None
) -> Iterator[Batch]:
    """Yield a task's batch.

    stdout: takes the output of `-o -`. arguments: words of a command line that repeat the run, for its journal.
    """
    allow_large_profiles()
    inputs = options.inputs
    invocation = Invocation(arguments or [task, *to_arguments(options)], stdout or sys.stdout.buffer)
    with open_reader(
        inputs.max_pixels, isolate=inputs.isolate, workers=options.compute.threads, timeout=inputs.timeout
    ) as reader:
        batch: Batch = find_task(task).prepare.load()(options, reader, invocation)
        yield batch
