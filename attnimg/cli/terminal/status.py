"""Exit statuses (docs/contract.md, C4), in one enum as in httpie (https://github.com/httpie/cli)."""

from __future__ import annotations

from enum import IntEnum

from attnimg.errors import AttnimgError, NoImages, Unavailable, UsageError


class ExitStatus(IntEnum):
    """The status that the shell sees. The last three are 128 plus the number of the signal."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_IMAGES = 3
    UNAVAILABLE = 4
    BUG = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141
    TERMINATED = 143


STATUS_OF_ERROR: dict[type[AttnimgError], ExitStatus] = {
    UsageError: ExitStatus.USAGE,
    NoImages: ExitStatus.NO_IMAGES,
    Unavailable: ExitStatus.UNAVAILABLE,
}


class OutputClosed(Exception):  # noqa: N818 - not an error
    """The reader of stdout has closed it. Not an OSError, which Typer would handle itself."""


class Terminated(BaseException):
    """SIGTERM was received. Like KeyboardInterrupt, it must not be caught by `except Exception`."""
