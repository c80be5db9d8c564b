"""Set up a process that runs nothing but attnimg. Importing the package does none of this."""

from __future__ import annotations

import errno
import os
import signal
import sys
from types import FrameType

from attnimg.cli.terminal.status import Terminated
from attnimg.errors import UsageError
from attnimg.runtime import keep_memory, share_cores

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # errors of a device that takes no more


def begin() -> None:
    """Prepare signals, streams and threads; before anything slow is imported. Raises UsageError."""
    signal.signal(signal.SIGTERM, _terminate)
    _open_closed_streams()
    share_cores()
    _check_folder()


def set_up_libraries() -> None:
    """Prepare memory, Pillow and OpenCV, for a command that opens images."""
    from attnimg.images.backends import configure  # takes a moment, and `--help` needs none of it

    keep_memory()
    configure()


def _check_folder() -> None:
    try:
        os.getcwd()  # noqa: PTH109 - any bytes
    except FileNotFoundError as error:
        raise UsageError("The current folder no longer exists. Change to another one.") from error


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the shell closed (`>&-`): the next opened file would take its place.

    UsageError: it is stdout, and the results would be lost.
    """
    loses_results = sys.stdout is None
    for number, name in enumerate(["stdin", "stdout", "stderr"]):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))
    if loses_results:
        raise UsageError("stdout is closed, and results go there. Send it to a file, a pipe, or /dev/null.")


def discard_output() -> None:
    """Send buffered output nowhere: Python flushes stdout once more when it ends, and would report an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminate(signal_number: int, frame: FrameType | None) -> None:
    raise Terminated
