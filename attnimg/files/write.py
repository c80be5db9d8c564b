"""Write files atomically: under a temporary name in the same folder, then moved into place.

Readers never see half a file, and an interrupted run leaves none. An existing file is replaced only on request, and
then in one step (POSIX `rename`). Otherwise `link` moves the file, because it fails if the name exists.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from attnimg.errors import ImageError
from attnimg.files.outputs import Output

_TEMPORARY = ".attnimg-{run}-{file}.tmp"

RUN = secrets.token_hex(4)
"""Random part of all temporary names of this process."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_bytes(output: Output, data: bytes | memoryview, *, modified: int | None = None) -> None:
    """Write a file and create its folder; or write the bytes to the output's stream.

    modified: time of modification and access, in ns since 1970; default now. Raises ImageError as `put` does.
    """
    if output.stream is not None:
        output.stream.write(data)
        output.stream.flush()
        return

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            file.write(data)
        if modified is not None:
            os.utime(temporary, ns=(modified, modified))

    put(output, write)


def put(output: Output, make: Callable[[Path], object]) -> None:
    """Move a new file or link into place, and create its folder.

    make: function that creates the file at the temporary path that it gets; it may raise OSError.

    Raises ImageError: exists, unless the output may be replaced; write-failed (full disk, no permission, long name).
    """
    path = output.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            make(temporary)
            _move(temporary, output)
    except OSError as error:
        advice = "Make room, check the permissions, or use another folder."
        raise ImageError("write-failed", f"{path} cannot be written: {error.strerror or error}. {advice}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to. At the end it replaces `path`; after an error it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as temporary:
        yield temporary
        temporary.replace(path)


def temporaries(folder: Path, runs: Iterable[str]) -> Iterator[Path]:
    """Yield the temporary files that killed processes left in a folder. runs: their values of `RUN`."""
    return chain.from_iterable(folder.glob(_TEMPORARY.format(run=run, file="*")) for run in runs)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    # Not derived from the path's name, which may already have the maximal length.
    temporary = path.with_name(_TEMPORARY.format(run=RUN, file=secrets.token_hex(6)))
    try:
        yield temporary
    finally:  # it still exists after a link, a failure, or a rename onto another hard link of the same file
        temporary.unlink(missing_ok=True)


def _move(temporary: Path, output: Output) -> None:
    path = output.path
    if output.replace:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path, follow_symlinks=False)  # the file may itself be a link
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links (FAT, some network drives): microseconds pass between the check and the move.
        if os.path.lexists(path):
            raise _exists(path) from error
        temporary.rename(path)


def _exists(path: Path) -> ImageError:
    message = f"{path} exists. Use --overwrite, --skip-existing or another folder."
    return ImageError("exists", message, taken=os.fspath(path))
