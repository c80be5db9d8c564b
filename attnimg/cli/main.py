"""The program: its commands, and what becomes of what they raise."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import threading
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from attnimg import __version__
from attnimg.cli import classify, doctor, enhance, evaluate, models, resume, segment, train
from attnimg.cli.console import Console
from attnimg.cli.status import OF_ERROR, ExitStatus, OutputClosed, OutputFailed, Terminated
from attnimg.errors import AttnimgError, UsageError
from attnimg.pipeline.stream import POOL

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # the errors of what takes no more

app = typer.Typer(
    name="attnimg",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(classify.classify)
app.command()(segment.segment)
app.command()(enhance.enhance)
app.command()(resume.resume)
app.add_typer(models.app, name="models")
app.command()(doctor.doctor)
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="evaluate")


def _print_version(wanted: bool) -> None:
    if wanted:
        Console.of_process().print(f"attnimg {__version__}")
        raise typer.Exit


@app.callback()
def attnimg(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Classify, segment and enhance folders of images with attention CNNs, and see where the net looked."""


def share_cores() -> None:
    """Let the net's threads sleep where they wait for each other; before torch is loaded.

    By default OpenMP's spin meanwhile, and keep the cores from the threads that read and write, and from each other.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    status = ExitStatus.OK
    try:
        signal.signal(signal.SIGTERM, _terminate)
        _open_closed_streams()
        share_cores()
        _check_folder()
        _run()
    except SystemExit as end:  # Typer always leaves so; it tells of wrong usage itself, and makes Ctrl-C 130
        status = ExitStatus(int(end.code or 0))
        if isinstance(end.__context__, BrokenPipeError):  # of Typer's own words, such as --help
            status = ExitStatus.OUTPUT_CLOSED
    except AttnimgError as error:
        Console.of_process().complain(f"attnimg: {error}")
        status = OF_ERROR[type(error)]
    except OutputClosed:
        status = ExitStatus.OUTPUT_CLOSED
        _discard_output()
    except OutputFailed as error:
        _discard_output()
        Console.of_process().complain(f"attnimg: {error}")
        status = ExitStatus.SOME_FAILED
    except KeyboardInterrupt:  # before or after Typer's turn
        status = ExitStatus.INTERRUPTED
    except Terminated:
        status = ExitStatus.TERMINATED
    except Exception as bug:  # noqa: BLE001 - the one place where a bug is told of
        _report(bug)
        status = ExitStatus.BUG
    cut_short = {ExitStatus.INTERRUPTED, ExitStatus.TERMINATED, ExitStatus.OUTPUT_CLOSED}
    if status in cut_short or any(thread.name.startswith(f"{POOL}_") for thread in threading.enumerate()):
        # At once: the interpreter would wait for readers, one of which may hang on a dead disk.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _run() -> None:
    try:
        app()
    except OSError as error:  # of Typer's own words, such as --help, or of any file
        if error.errno not in FULL:
            raise
        raise OutputFailed(f"Nothing can be written: {error.strerror}. Make room, or name another place.") from error


def _check_folder() -> None:
    try:
        os.getcwd()  # noqa: PTH109 - any bytes
    except FileNotFoundError as error:
        raise UsageError("The current folder is gone. Change to one that is there.") from error


def _open_closed_streams() -> None:
    """Stand /dev/null in for what the shell closed (`>&-`): else a file opened later would take what is printed.

    UsageError: it is stdout, and the results would be lost.
    """
    loses_results = sys.stdout is None
    for number, name in enumerate(["stdin", "stdout", "stderr"]):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    if loses_results:
        raise UsageError("stdout is closed, and results go there. Send it to a file, a pipe, or /dev/null.")


def _discard_output() -> None:
    """Python flushes stdout once more when it ends, and would complain; so what is left goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated


def _report(bug: Exception) -> None:
    if os.environ.get("ATTNIMG_DEBUG"):
        traceback.print_exception(bug)
        return
    place = traceback.extract_tb(bug.__traceback__)[-1]
    console = Console.of_process()
    console.complain(
        f"attnimg: a bug of ours: {type(bug).__name__}: {bug} ({Path(place.filename).name}, line {place.lineno})"
    )
    console.complain("What is finished is kept. Please report it with what these two print:")
    console.complain("  attnimg doctor")
    console.complain(f"  ATTNIMG_DEBUG=1 {shlex.join(['attnimg', *sys.argv[1:]])}")
