"""The interface between the stream and a task: one method per station of an image."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.records import Record

Ready = TypeVar("Ready")
"""An image that the host has prepared for the device: decoded, oriented, resized."""

Outcome = TypeVar("Outcome")
"""The net's result for one image."""

Tell = Callable[[str], None]
"""Takes a few words on the progress of one input."""


class Job(Protocol[Ready, Outcome]):
    """One task, station by station, in the order in which an image passes them.

    A station may raise `ImageError`, which becomes the image's `Failed` record, or `MemoryError`, which becomes a
    record of kind out-of-memory (translate a device's own exception). Any other exception is a bug and ends the stream.
    """

    def admit(self, source: Source) -> Record | Outputs:
        """Claim the names of the image's outputs, in input order; one thread, before reading.

        A record returned here, such as `Skipped`, is final: the image passes no other station.
        """
        ...

    def is_batched(self, source: Source) -> bool:
        """Whether the input passes read, predict and write; else it passes `process`. The thread of `admit`."""
        return True

    def read(self, source: Source, outputs: Outputs) -> Ready:
        """Decode the image and do the host's part of the preprocessing; many threads."""
        ...

    def shape(self, ready: Ready) -> Hashable:
        """Return the key of the image's batch: images of equal keys may go together; a reader's thread."""
        ...

    def pixels(self, ready: Ready) -> int:
        """Return the number of pixels that `ready` holds in memory until it is written; a reader's thread."""
        ...

    def predict(self, batch: list[Ready]) -> Sequence[Outcome]:
        """Run the net on images of one shape and return one outcome each, in their order; the calling thread.

        If a batch fails with `ImageError` or `MemoryError`, its halves are tried, and so on; after a `MemoryError`,
        later batches of the shape stay halved.
        """
        ...

    def write(self, source: Source, ready: Ready, outcome: Outcome) -> Record:
        """Write the image's files, if any, and return its record; many threads."""
        ...

    def process(self, source: Source, outputs: Outputs, tell: Tell) -> Record:
        """Do all of the work on an input that cannot be batched, such as a video; in its turn, the calling thread."""
        raise NotImplementedError
