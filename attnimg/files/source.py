"""An input: its path, its kind, and the facts that are known before decoding."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from attnimg.errors import ImageError

Kind = Literal["image", "video"]


@dataclass(frozen=True, slots=True)
class Probe:
    """Facts from the header of an image.

    format: a key of `formats.FORMATS`; "" for unknown or unreadable content; None for a pipe or device, whose bytes can
    be read only once. pixels: width times height, or None if unknown.
    """

    format: str | None
    pixels: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One input.

    path: the path as shown, from `os.fsdecode`, so that any bytes survive; `-` for stdin. relative: the path of its
    outputs below the output folder; `OutputNames` refuses one that begins with `..`. data: bytes of an image from
    stdin. error: reason why it cannot be read, if the search found one. kind: decided by the search. probe: facts from
    its header, filled in when the image enters a stream.
    """

    path: str
    relative: PurePath
    data: bytes | None = field(default=None, repr=False)
    error: ImageError | None = None
    kind: Kind = "image"
    probe: Probe = Probe("")


@dataclass(slots=True)
class Counts:
    """Number of files that a search skipped: files in folders that are not images, and links to folders."""

    passed_over: int = 0
