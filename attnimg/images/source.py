"""One input, as it is found, and what was passed over meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath

from attnimg.errors import ImageError


@dataclass(frozen=True, slots=True)
class Source:
    """One input.

    path: as shown; made by `os.fsdecode`, so that any bytes survive. `-` is stdin.
    relative: where its outputs go below the output folder; one that begins with `..` is refused when it is placed.
    data: the image itself, when it came on stdin. error: what was wrong already when looking.
    """

    path: str
    relative: PurePath
    data: bytes | None = field(default=None, repr=False)
    error: ImageError | None = None


@dataclass(slots=True)
class Counts:
    """What the search left alone: files in folders that are no images, and links to folders."""

    passed_over: int = 0
