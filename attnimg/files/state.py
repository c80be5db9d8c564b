"""Detect changes of a file by its size and modification time, or by its SHA-256."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any, Self

from attnimg.errors import ImageError
from attnimg.files.source import Source


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Size and modification time of a file. size: bytes. modified: ns since 1970."""

    size: int
    modified: int

    @classmethod
    def of(cls, source: Source) -> Self | None:
        """Return the stamp of a source; None for stdin, or if the file cannot be reached."""
        if source.data is not None:
            return None
        try:
            return cls._from(os.stat(source.path))  # noqa: PTH116 - any bytes
        except (OSError, ValueError):
            return None

    @classmethod
    def of_open(cls, descriptor: int) -> Self | None:
        """Return the stamp of an open file; None for a pipe or device."""
        status = os.fstat(descriptor)
        return cls._from(status) if stat.S_ISREG(status.st_mode) else None

    @classmethod
    def _from(cls, status: os.stat_result) -> Self:
        return cls(status.st_size, status.st_mtime_ns)


def changed_error() -> ImageError:
    """Return the error of a file that changed while it was read."""
    return ImageError("unreadable", "It changed while it was read. Run the command again when no program writes to it.")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, in hex. Raises OSError."""
    with open(path, "rb") as file:  # noqa: PTH123 - any bytes
        return file_digest(file, "sha256").hexdigest()


def fingerprint(path: str) -> dict[str, Any]:
    """Return path, size and SHA-256 of a file as JSON values; the path alone if the file cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any bytes
            digest = file_digest(file, "sha256").hexdigest()
            return {"path": path, "size": file.tell(), "sha256": digest}
    except OSError:
        return {"path": path}
