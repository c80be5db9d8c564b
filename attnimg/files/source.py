"""One input: its path, its kind, and what is known of it before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from attnimg.errors import ImageError

Kind = Literal["image", "video"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What an image's header tells.

    format: a key of `formats.FORMATS`; "" if the content is unknown or unreadable; None for a pipe or device, whose
    bytes can be read only once. pixels: width times height, or None if unknown.
    """

    format: str | None
    pixels: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One input.

    path: as shown; made by `os.fsdecode`, so that any bytes survive. `-` is stdin.
    relative: path of its outputs below the output folder; one that begins with `..` is refused when it is named.
    data: the file's bytes, if it came on stdin. error: what is already known to be wrong with it. kind: decided when it
    is found. probe: filled in when the image is admitted to a stream.
    """

    path: str
    relative: PurePath
    data: bytes | None = field(default=None, repr=False)
    error: ImageError | None = None
    kind: Kind = "image"
    probe: Probe = Probe("")


@dataclass(slots=True)
class Counts:
    """Files that a search left out: in folders, those that are no images, and links to folders."""

    passed_over: int = 0
