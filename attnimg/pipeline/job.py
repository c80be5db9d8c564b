"""What a task must know how to do so that the stream can run it: one method for each station that an image passes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

from attnimg.images.place import Targets
from attnimg.images.source import Source
from attnimg.results import Record

Ready = TypeVar("Ready")
"""An image as the host leaves it for the device: decoded, oriented, resized."""

Outcome = TypeVar("Outcome")
"""What the net concluded about one image."""


class Job(Protocol[Ready, Outcome]):
    """One task, station by station, in the order in which an image passes them.

    Each may raise `ImageError`, which becomes the image's `Failed` record, or `MemoryError`, which becomes one of kind
    out-of-memory (a device's own exception for that must be translated). Anything else is a bug and ends the stream.
    """

    def admit(self, source: Source) -> Record | Targets:
        """Claim the names of what is to be written, in input order; one thread, before reading.

        A record returned here, such as `Skipped`, is the image's record, and no other method sees the image.
        """

    def read(self, source: Source, targets: Targets) -> Ready:
        """Decode the image and do the host's part of the preparation; many threads."""

    def shape(self, ready: Ready) -> Hashable:
        """Name what images must have in common to share a batch; a reader's thread."""

    def pixels(self, ready: Ready) -> int:
        """Count the pixels that `ready` holds in memory until it is written; a reader's thread."""

    def predict(self, batch: list[Ready]) -> Sequence[Outcome]:
        """Run the net on images of one shape: one outcome each, in their order; the calling thread.

        When a batch fails with `ImageError` or `MemoryError`, its halves are tried, and so on; what memory is too small
        for stays so.
        """

    def write(self, source: Source, ready: Ready, outcome: Outcome) -> Record:
        """Write the image's files, if any, and say what is known of it; many threads."""
