"""What a command's end is called (contract C4). The idea of one enum is httpie's (https://github.com/httpie/cli)."""

from __future__ import annotations

from enum import IntEnum

from attnimg.errors import AttnimgError, NoImages, Unavailable, UsageError


class ExitStatus(IntEnum):
    """The status that the shell sees. The last three are 128 plus the signal that a shell's own tools would die of."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NO_IMAGES = 3
    UNAVAILABLE = 4
    BUG = 70  # EX_SOFTWARE of sysexits.h
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141
    TERMINATED = 143


OF_ERROR: dict[type[AttnimgError], ExitStatus] = {
    UsageError: ExitStatus.USAGE,
    NoImages: ExitStatus.NO_IMAGES,
    Unavailable: ExitStatus.UNAVAILABLE,
}


class OutputClosed(Exception):  # noqa: N818 - nothing went wrong
    """Whoever read stdout has seen enough. Not an OSError, which Typer would take for its own to handle."""


class OutputFailed(Exception):  # noqa: N818 - named as its sibling
    """stdout takes no more: a full disk, say. Images that were done are done, yet their records are lost."""


class Terminated(BaseException):
    """SIGTERM came. Like KeyboardInterrupt, it is nothing that `except Exception` may hold up."""
