"""The file of --errors: the records of failures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from attnimg.errors import OutputFailed, UsageError
from attnimg.pipeline.journal.lines import write_whole
from attnimg.records import Record


@contextmanager
def write_errors(path: Path | None) -> Iterator[Callable[[Record], object]]:
    """Open the file, if one is given, and yield a function that writes a record to it.

    UsageError: it cannot be opened. OutputFailed: it cannot be written.
    """
    if path is None:
        yield lambda record: None
        return
    is_new = not os.path.lexists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(path, "w")  # unbuffered: a buffer would be written once more after a failure
    except OSError as error:
        raise UsageError(f"--errors: {path} cannot be written: {error.strerror}. Name another file.") from error

    def write(record: Record) -> None:
        try:
            write_whole(file, record.to_json().encode("ascii") + b"\n")
        except OSError as error:
            reason = f"{path} cannot be written: {error.strerror}. Make room, or name another file."
            raise OutputFailed(reason) from error

    try:
        with file:
            yield write
    except BaseException:
        with suppress(OSError):
            if is_new and not path.stat().st_size:  # it would only be in the way of the same command
                path.unlink()
        raise
