"""`attnimg resume`: an interrupted run goes on; and how a run is described so that it can."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from attnimg import checkpoints
from attnimg.cli.options import Report
from attnimg.errors import UsageError
from attnimg.pipeline.journal import Journal
from attnimg.results import Done

RESUME = "--resume"


def open_journal(report: Report, model: str, kind: type[Done], *writes: Path | None) -> Journal:
    """Return the journal that the options ask for. UsageError: as of `FileJournal`.

    kind: of the records of images that are done. writes: the files that are written of all images together, if wanted.
    """
    if report.report is None:
        return Journal()
    from attnimg.pipeline.journal_file import FileJournal

    run = {
        "arguments": [argument for argument in sys.argv[1:] if argument != RESUME],
        "folder": os.getcwd(),  # noqa: PTH109 - any bytes
        "report": os.path.realpath(report.report),
        "writes": [os.fspath(path) for path in writes if path is not None],
        "model": model,
        "sha256": checkpoints.sha256(checkpoints.find(model)),
    }
    return FileJournal(report.report, run, kind, resume=report.resume)


def resume(
    context: typer.Context,
    report: Annotated[Path, typer.Argument(metavar="FILE", help="What --report of the interrupted run named.")],
) -> None:
    """Go on with a run that was interrupted.

    The command is run again as it was given, in the folder where it was. What the report says is done, and is still as
    it was written, is not done again. All records are printed, those of images done earlier, too. A list that came on
    stdin must come again.
    """
    from attnimg.pipeline.journal_lines import read_run

    run = read_run(report)
    command, *rest = run["arguments"]
    if os.path.realpath(report) != run["report"]:
        raise UsageError(f"{report} was written as {run['report']}. Move it back there.")
    try:
        os.chdir(run["folder"])
    except OSError as error:
        raise UsageError(f"The run was in {run['folder']}: {error.strerror}. Bring that folder back.") from error
    sys.argv[1:] = [command, RESUME, *rest]
    # Not by a new process, which would look for modules in that folder first, among the images.
    context.find_root().command.main(sys.argv[1:], prog_name="attnimg")
