"""Write a file whole or not at all: under a temporary name beside its place, then moved there.

Readers never see half a file, and a run that is cut off leaves none; a file that is there already is replaced only when
asked for, and then in one step (POSIX `rename`; `link` is the move that refuses to replace).
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.errors import ImageError
from attnimg.images.opencv import memory_errors
from attnimg.images.place import Target

_TEMPORARY = ".attnimg-{run}-{file}.tmp"
# Level 1 takes half the time of level 3 and makes files hardly larger: filtered photos are close to noise.
_ENCODINGS = {".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}

RUN = secrets.token_hex(4)
"""What the temporary names of this process have in common."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def write_image(target: Target, pixels: NDArray[np.uint8]) -> None:
    """Write H x W x 3 RGB pixels as PNG or, at quality 95, JPEG, by the target's extension (.png, .jpg).

    Raises MemoryError, and ImageError: as `put` does; write-failed too for more pixels than the format takes.
    """
    extension = target.path.suffix.lower()
    size = f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
    refused = ImageError("write-failed", f"{target.path} cannot be encoded: {size} are too many. Scale it down.")
    try:
        with memory_errors():
            done, data = cv2.imencode(extension, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _ENCODINGS[extension])
    except cv2.error as error:
        raise refused from error
    if not done:
        raise refused
    write_bytes(target, data.data)


def write_bytes(target: Target, data: bytes | memoryview, *, modified: int | None = None) -> None:
    """Write a file, and the folders above it.

    modified: its time of modification and of access in ns since 1970; None: now. Raises ImageError as `put` does.
    """

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            file.write(data)
        if modified is not None:
            os.utime(temporary, ns=(modified, modified))

    put(target, write)


def put(target: Target, make: Callable[[Path], object]) -> None:
    """Put a file or link in its place, whatever makes it, and the folders above it.

    make: makes it under the temporary name that it is given; may raise OSError.

    Raises ImageError: exists, unless the target may be replaced; write-failed (no space, no rights, too long a name).
    """
    path = target.path
    # Not made from the path's own name, which may be as long as names can be.
    temporary = path.with_name(_TEMPORARY.format(run=RUN, file=secrets.token_hex(6)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            make(temporary)
            _move(temporary, target)
        finally:  # it is still there after a link, after a failure, and after a rename to a hard link of its own
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = f"{path} cannot be written: {error.strerror or error}"
        raise ImageError("write-failed", f"{reason}. Make room, check the rights, or use another folder.") from error


def temporaries(folder: Path, runs: Iterable[str]) -> Iterator[Path]:
    """Yield what killed processes left half-written in a folder. runs: the processes' `RUN`."""
    return chain.from_iterable(folder.glob(_TEMPORARY.format(run=run, file="*")) for run in runs)


def _move(temporary: Path, target: Target) -> None:
    path = target.path
    if target.replace:
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
    message = f"{path} is there already. Use --overwrite, --skip-existing or another folder."
    return ImageError("exists", message, taken=os.fspath(path))
