"""The journal of a run, as the options ask."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from attnimg.models.sources import find_model
from attnimg.options.common import ImageOptions
from attnimg.pipeline.journal.file import FileJournal
from attnimg.pipeline.journal.journal import Journal
from attnimg.records import Done


@dataclass(frozen=True)
class Invocation:
    """How a run was started.

    arguments: words of a command line that repeat it, without --resume. stdout: takes the output of `-o -`.
    """

    arguments: list[str]
    stdout: BinaryIO | None


def open_journal(
    options: ImageOptions, invocation: Invocation, model: str, record: type[Done], *shared_files: Path | None
) -> Journal:
    """Return the run's journal. UsageError: as of `FileJournal`.

    record: type of the records of inputs that were done. shared_files: those written once per run, if wanted.
    """
    run = options.run
    if run.report is None or options.outputs.dry_run:
        return Journal()
    described = {
        "arguments": invocation.arguments,
        "folder": os.getcwd(),  # noqa: PTH109 - any bytes
        "report": os.path.realpath(run.report),
        "writes": [os.fspath(path) for path in shared_files if path is not None],
        "model": model,
        "sha256": find_model(model).sha256,
    }
    return FileJournal(run.report, described, record, resume=run.resume)
