"""`attnimg resume`: continue an interrupted run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from attnimg.cli.lazy import single
from attnimg.errors import UsageError
from attnimg.pipeline.journal.lines import read_run


def build_app() -> typer.Typer:
    """Return the command."""
    return single(resume)


def resume(
    context: typer.Context,
    report: Annotated[Path, typer.Argument(metavar="FILE", help="The file of the interrupted run's --report.")],
) -> None:
    """Continue a run that was interrupted.

    The command runs again with its options, in its folder. Images that the report says are done, and whose files are
    unchanged, are not done again. All records are printed, also those of images done earlier. A list that came on stdin
    must be given again.
    """
    run = read_run(report)
    command, *rest = run["arguments"]
    if os.path.realpath(report) != run["report"]:
        raise UsageError(f"{report} was written as {run['report']}. Move it back there.")
    try:
        os.chdir(run["folder"])
    except OSError as error:
        raise UsageError(f"The run was in {run['folder']}: {error.strerror}. Bring that folder back.") from error
    # Not in a new process, which would look for modules in that folder first, among the images.
    context.find_root().command.main([command, "--resume", *rest], prog_name="attnimg")
