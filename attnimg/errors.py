"""The exceptions of docs/contract.md: the failure of one image, and the errors that end a command."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal[
    "missing",
    "unreadable",
    "unsupported",
    "damaged",
    "too-large",
    "collision",
    "exists",
    "write-failed",
    "out-of-memory",
    "timeout",
    "interrupted",
]

KINDS: tuple[Kind, ...] = get_args(Kind)


class ImageError(Exception):
    """One image failed; the batch goes on. Becomes that image's record.

    kind: one of `KINDS`. message: a sentence for the user. taken: the output whose name another file has.
    """

    def __init__(self, kind: Kind, message: str, *, taken: str | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.taken = taken


class AttnimgError(Exception):
    """The command cannot continue. The message says why and how to solve it."""


class UsageError(AttnimgError):
    """Wrong usage: exit status 2."""


class NoImages(AttnimgError):  # noqa: N818
    """No image was found: exit status 3."""


class OutputFailed(Exception):  # noqa: N818
    """The results of a run cannot be written: a full disk, say. Finished files are kept, their records are lost."""


class Unavailable(AttnimgError):  # noqa: N818
    """Weights, a device or an optional extra are not available: exit status 4."""
