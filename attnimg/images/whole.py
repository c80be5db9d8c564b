"""Tell whether a file that is there already is whole: what another program left half-written is no output to keep."""

from __future__ import annotations

from pathlib import Path, PurePath

from attnimg.errors import ImageError
from attnimg.images.find import Source
from attnimg.images.formats import has_image_extension

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


def is_whole(path: Path) -> bool:
    """Tell whether a file opens: an image to its end, any other unless it is empty.

    What is not whole could not be read as an input either, so that no good input is taken for a bad output.
    """
    if not path.is_file() or not has_image_extension(path.name):
        return not path.is_file() or path.stat().st_size > 0
    with path.open("rb") as file:  # of a JPEG the end tells, without decoding
        if file.read(len(_JPEG)) == _JPEG:
            file.seek(-len(_JPEG_END), 2)
            if file.read() == _JPEG_END:
                return True
    from attnimg.images.read import read

    try:
        read(Source(str(path), PurePath()))
    except ImageError as error:
        return error.kind not in ("damaged", "unsupported")
    return True
