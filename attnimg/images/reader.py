"""Readers of image files for a batch: in this process, or in child processes (`isolation.pool`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from attnimg.errors import Unavailable
from attnimg.files.source import Probe, Source
from attnimg.files.state import FileStamp, changed_error
from attnimg.images.complete import is_complete
from attnimg.images.decoded import DecodedImage
from attnimg.images.probe import probe
from attnimg.images.read import read


class Reader(Protocol):
    """Opens image files; may be used by any thread."""

    def read(self, source: Source, *, shortest: int | None = None) -> DecodedImage:
        """Decode a source; arguments and errors as of `read.read`."""
        ...

    def probe(self, source: Source) -> Probe:
        """Return format and pixel count by the header. Raises nothing."""
        ...

    def is_complete(self, path: Path) -> bool:
        """Whether an existing output is complete, see `complete.is_complete`."""
        ...


class DirectReader:
    """Decodes in this process. max_pixels: limit for `read`."""

    def __init__(self, max_pixels: int) -> None:
        self.max_pixels = max_pixels

    def read(self, source: Source, *, shortest: int | None = None) -> DecodedImage:
        """As of `Reader`."""
        return read(source, max_pixels=self.max_pixels, shortest=shortest)

    def probe(self, source: Source) -> Probe:
        """As of `Reader`."""
        return probe(source)

    def is_complete(self, path: Path) -> bool:
        """As of `Reader`."""
        return is_complete(path, read)


@contextmanager
def open_reader(max_pixels: int, *, isolate: bool, workers: int, timeout: float | None) -> Iterator[Reader]:
    """Yield a reader. isolate: whether to decode in `workers` child processes, with `timeout` seconds for an image."""
    if not isolate:
        yield DirectReader(max_pixels)
        return
    if sys.platform == "win32":
        raise Unavailable("--isolate works on Linux and macOS only. Leave it out.")
    from attnimg.images.isolation.pool import IsolatedReader

    with IsolatedReader(workers, timeout, max_pixels) as reader:
        yield reader


def read_reduced_and_full(reader: Reader, source: Source, shortest: int | None) -> tuple[DecodedImage, DecodedImage]:
    """Decode a photo twice: at a reduced scale for the net, and at full size for drawing.

    shortest: as of `read.read`. The overlay must be drawn on the version of the file that the net saw.

    Raises ImageError: unreadable, if the file changed in between.
    """
    if source.data is None and not Path(source.path).is_file():  # a pipe can be read only once
        image = reader.read(source)
        return image, image
    before = FileStamp.of(source)
    reduced = reader.read(source, shortest=shortest)
    if reduced.pixels.shape[1::-1] == reduced.size:
        return reduced, reduced
    full = reader.read(source)
    if FileStamp.of(source) != before:
        raise changed_error()
    return reduced, full
