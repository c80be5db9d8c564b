"""Tell whether a file that is there already is whole, and whether it is still what it was.

What another program left half-written is no output to keep, and what was changed since is not the one that was made.
"""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path, PurePath
from typing import Any

from attnimg.errors import ImageError
from attnimg.images.apart import call
from attnimg.images.containers import is_cut_short
from attnimg.images.formats import has_image_extension, has_video_extension
from attnimg.images.source import Source

State = dict[str, int] | None
"""By what an input is known again, without reading it: its size, and when it was written to."""

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def is_whole(path: Path) -> bool:
    """Tell whether a file opens: an image to its end, any other unless it is empty.

    What is not whole could not be read as an input either, so that no good input is taken for a bad output. A kind
    that is not read cannot be judged, and counts as somebody's good file.

    Raises ImageError: timeout, interrupted, where files are decoded in other processes.
    """
    if not path.is_file():
        return path.exists()  # a link to nothing is no output
    if has_video_extension(path.name):
        return path.stat().st_size > 0 and not is_cut_short(path)
    if not has_image_extension(path.name):
        return path.stat().st_size > 0
    with path.open("rb") as file:  # of a JPEG the end tells, without decoding
        if file.read(len(_JPEG)) == _JPEG:
            file.seek(-len(_JPEG_END), 2)
            if file.read() == _JPEG_END:
                return True
    try:
        call(_decode, Source(str(path), PurePath()))
    except ImageError as error:
        if error.kind in ("timeout", "interrupted"):
            raise ImageError(error.kind, f"{path} is there already. {error}") from error
        return error.kind != "damaged"
    return True


def _decode(source: Source) -> None:
    from attnimg.images.read import read

    read(source)


def state_of(source: Source) -> State:
    """Return a source's state; None where it came on stdin, or is not there."""
    if source.data is not None:
        return None
    try:
        status = os.stat(source.path)  # noqa: PTH116 - any bytes
    except (OSError, ValueError):
        return None
    return {"size": status.st_size, "modified": status.st_mtime_ns}


def changed() -> ImageError:
    """Return the error of a file whose state was another before it was read than after."""
    return ImageError("unreadable", "It changed while it was read. Read it again when nothing writes to it.")


def fingerprint(path: str) -> dict[str, Any]:
    """Return a file's path, size and SHA-256 in hex; of one that cannot be read the path alone."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any bytes
            digest = file_digest(file, "sha256").hexdigest()
            return {"path": path, "size": file.tell(), "sha256": digest}
    except OSError:
        return {"path": path}
