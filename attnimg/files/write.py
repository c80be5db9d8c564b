"""Write a file whole or not at all: under a temporary name in its folder, then moved into place.

Readers never see half a file, and an interrupted run leaves none. An existing file is replaced only on request, and
then in one step (POSIX `rename`; `link` is the move that refuses to replace).
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
"""The part that all temporary names of this process share."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_bytes(output: Output, data: bytes | memoryview, *, modified: int | None = None) -> None:
    """Write a file, and the folders above it; or the bytes to the output's stream.

    modified: time of modification and access in ns since 1970; None: now. Raises ImageError as `put` does.
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
    """Put a file or link into place, and the folders above it.

    make: creates it under the temporary name that it is given; may raise OSError.

    Raises ImageError: exists, unless the output may be replaced; write-failed (no space, no rights, too long a name).
    """
    path = output.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            make(temporary)
            _move(temporary, output)
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror or error}"
        raise ImageError("write-failed", f"{reason}. Make room, check the rights, or use another folder.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` at the end and is removed after an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as temporary:
        yield temporary
        temporary.replace(path)


def temporaries(folder: Path, runs: Iterable[str]) -> Iterator[Path]:
    """Yield the temporary files that killed processes left in a folder. runs: the `RUN` of each process."""
    return chain.from_iterable(folder.glob(_TEMPORARY.format(run=run, file="*")) for run in runs)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    # Not made from the path's own name, which may be as long as names can be.
    temporary = path.with_name(_TEMPORARY.format(run=RUN, file=secrets.token_hex(6)))
    try:
        yield temporary
    finally:  # it still exists after a link, after a failure, and after a rename to a hard link of its own
        temporary.unlink(missing_ok=True)


def _move(temporary: Path, output: Output) -> None:
    path = output.path
    if output.replace:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path, follow_symlinks=False)  # it may be a link itself
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without links (FAT, some network drives): a gap of microseconds between the look and the move.
        if os.path.lexists(path):
            raise _exists(path) from error
        temporary.rename(path)


def _exists(path: Path) -> ImageError:
    message = f"{path} exists. Use --overwrite, --skip-existing or another folder."
    return ImageError("exists", message, taken=os.fspath(path))
