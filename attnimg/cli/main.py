"""The program: its commands, and the exit status of each exception."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import traceback
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from attnimg.cli.lazy import Entry, make_group
from attnimg.cli.process import FULL, begin, discard_output
from attnimg.cli.terminal.console import Console
from attnimg.cli.terminal.status import STATUS_OF_ERROR, ExitStatus, OutputClosed, Terminated
from attnimg.errors import AttnimgError, OutputFailed
from attnimg.models.registry import TASKS
from attnimg.runtime import POOL
from attnimg.version import __version__

_OTHERS = {
    "resume": "Continue a run that was interrupted.",
    "models": "List the models, show the header of one, or verify their files.",
    "doctor": "Print versions, devices, threads and weights, for a bug report.",
    "train": "Train a net on your own images.",
    "evaluate": "Measure a model on labeled images.",
}
"""Summaries of the commands that know no task, by the names of their modules."""


def list_commands() -> dict[str, Entry]:
    """Return all commands: one per task, and those that know no task."""
    tasks = {name: Entry(task.summary, partial(_build, "images", name)) for name, task in TASKS.items()}
    return {**tasks, **{name: Entry(summary, partial(_build, name)) for name, summary in _OTHERS.items()}}


def _build(module: str, *arguments: str) -> typer.Typer:
    app: typer.Typer = import_module(f"attnimg.cli.commands.{module}").build_app(*arguments)
    return app


def build_app() -> typer.Typer:
    """Return the program."""
    app = typer.Typer(
        name="attnimg",
        cls=make_group(list_commands()),
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(attnimg)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        Console.of_process().print(f"attnimg {__version__}")
        raise typer.Exit


def attnimg(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Classify, segment and enhance folders of images with attention CNNs, and see where the net looked."""


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    status = ExitStatus.OK
    try:
        begin()
        _run()
    except SystemExit as end:  # Typer always ends so; it reports wrong usage itself, and makes Ctrl-C 130
        status = ExitStatus(int(end.code or 0))
        if isinstance(end.__context__, BrokenPipeError):  # of Typer's own output, such as --help
            status = ExitStatus.OUTPUT_CLOSED
    except AttnimgError as error:
        Console.of_process().error(f"attnimg: {error}")
        status = STATUS_OF_ERROR[type(error)]
    except OutputClosed:
        status = ExitStatus.OUTPUT_CLOSED
        discard_output()
    except OutputFailed as error:
        discard_output()
        Console.of_process().error(f"attnimg: {error}")
        status = ExitStatus.SOME_FAILED
    except KeyboardInterrupt:  # before or after Typer's turn
        status = ExitStatus.INTERRUPTED
    except Terminated:
        status = ExitStatus.TERMINATED
    except Exception as bug:  # noqa: BLE001 - the one place where bugs are reported
        _report(bug)
        status = ExitStatus.BUG
    cut_short = {ExitStatus.INTERRUPTED, ExitStatus.TERMINATED, ExitStatus.OUTPUT_CLOSED}
    if status in cut_short or any(thread.name.startswith(f"{POOL}_") for thread in threading.enumerate()):
        # At once: the interpreter would wait for readers, and one may hang on a dead disk.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _run() -> None:
    try:
        build_app()()
    except OSError as error:  # of Typer's own output, such as --help, or of any file
        if error.errno not in FULL:
            raise
        raise OutputFailed(f"Nothing can be written: {error.strerror}. Make room, or use another place.") from error


def _report(bug: Exception) -> None:
    if os.environ.get("ATTNIMG_DEBUG"):
        traceback.print_exception(bug)
        return
    place = traceback.extract_tb(bug.__traceback__)[-1]
    console = Console.of_process()
    console.error(
        f"attnimg: internal error: {type(bug).__name__}: {bug} ({Path(place.filename).name}, line {place.lineno})"
    )
    console.error("Finished files are kept. This is a bug: please report it with the output of these two commands:")
    console.error("  attnimg doctor")
    console.error(f"  ATTNIMG_DEBUG=1 {shlex.join(['attnimg', *sys.argv[1:]])}")
