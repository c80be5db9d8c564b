"""How commands decode photos: in this process or in others, and twice where one is also drawn on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attnimg.cli.options import Compute, Inputs
from attnimg.errors import Unavailable
from attnimg.images.apart import calling_by
from attnimg.images.source import Source

if TYPE_CHECKING:
    from attnimg.images.picture import Picture


class Reader(Protocol):
    """What decodes sources."""

    def __call__(self, source: Source, *, shortest: int | None = None) -> Picture:
        """Decode a source; shortest and errors as of `images.read.read`."""


@contextmanager
def open_reader(inputs: Inputs, compute: Compute) -> Iterator[Reader]:
    """Yield what decodes sources as the options ask."""
    if not inputs.isolate:
        from attnimg.images.read import read

        yield partial(read, max_pixels=inputs.max_pixels)
        return
    if sys.platform == "win32":
        raise Unavailable("--isolate takes what only Unix has. Leave it out.")
    from attnimg.images.isolated import IsolatedReader

    with IsolatedReader(compute.threads, inputs.timeout) as read_isolated, calling_by(read_isolated.call):
        yield partial(read_isolated, max_pixels=inputs.max_pixels)


def read_twice(reader: Reader, source: Source, shortest: int | None) -> tuple[Picture, Picture]:
    """Decode a photo for the net, at a scale at which its shortest side suffices, and whole, to be drawn on.

    Whoever draws must not see another photo than the net did, nor change what the net sees. Raises ImageError:
    unreadable, when the file changed between.
    """
    from attnimg.images.whole import changed, state_of

    if source.data is None and not Path(source.path).is_file():  # a pipe gives its bytes once
        picture = reader(source)
        return picture, picture
    before = state_of(source)
    small = reader(source, shortest=shortest)
    if small.pixels.shape[1::-1] == small.size:
        return small, small
    whole = reader(source)
    if state_of(source) != before:
        raise changed()
    return small, whole
