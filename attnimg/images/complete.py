"""Check whether an existing output is complete: an interrupted program may have left half a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath

from attnimg.errors import ImageError
from attnimg.files.formats import has_image_extension, has_video_extension
from attnimg.files.source import Source
from attnimg.files.truncation import is_cut_short

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def is_complete(path: Path, read: Callable[[Source], object]) -> bool:
    """Whether an image can be decoded to its end, a video is not truncated, and any other file is not empty.

    A truncated file could not be an input either, so replacing it never destroys a good image. An image in a format
    that is not read counts as complete.

    read: function that decodes a source. Raises its ImageErrors of kinds timeout and interrupted; OSError.
    """
    if not path.is_file():
        return path.exists()  # a dead link is no output
    if has_video_extension(path):
        return path.stat().st_size > 0 and not is_cut_short(path)
    if not has_image_extension(path):
        return path.stat().st_size > 0
    with path.open("rb") as file:  # for a JPEG, the end marker suffices
        if file.read(len(_JPEG)) == _JPEG:
            file.seek(-len(_JPEG_END), 2)
            if file.read() == _JPEG_END:
                return True
    try:
        read(Source(str(path), PurePath()))
    except ImageError as error:
        if error.kind in ("timeout", "interrupted"):
            raise ImageError(error.kind, f"{path} exists. {error}") from error
        return error.kind != "damaged"
    return True
