"""What the stream needs of a task: one method for each station that an image passes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.records import Record

Ready = TypeVar("Ready")
"""An image as the host leaves it for the device: decoded, oriented, resized."""

Outcome = TypeVar("Outcome")
"""What the net concluded about one image."""

Tell = Callable[[str], None]
"""Takes a few words about the progress of one input."""


class Job(Protocol[Ready, Outcome]):
    """One task, station by station, in the order in which an image passes them.

    Each may raise `ImageError`, which becomes the image's `Failed` record, or `MemoryError`, which becomes one of kind
    out-of-memory (a device's own exception must be translated). Any other exception is a bug and ends the stream.
    """

    def admit(self, source: Source) -> Record | Outputs:
        """Claim the names of the image's outputs, in input order; one thread, before reading.

        A record returned here, such as `Skipped`, is the image's record, and no other station sees the image.
        """
        ...

    def is_batched(self, source: Source) -> bool:
        """Whether the input passes read, predict and write. If not, `process` does all of it."""
        return True

    def read(self, source: Source, outputs: Outputs) -> Ready:
        """Decode the image and do the host's part of the preparation; many threads."""
        ...

    def shape(self, ready: Ready) -> Hashable:
        """Return a value that images must share to go into one batch; a reader's thread."""
        ...

    def pixels(self, ready: Ready) -> int:
        """Count the pixels that `ready` holds in memory until it is written; a reader's thread."""
        ...

    def predict(self, batch: list[Ready]) -> Sequence[Outcome]:
        """Run the net on images of one shape: one outcome each, in their order; the calling thread.

        If a batch fails with `ImageError` or `MemoryError`, its halves are tried, and so on; batches of a shape that
        exceeded the memory stay halved.
        """
        ...

    def write(self, source: Source, ready: Ready, outcome: Outcome) -> Record:
        """Write the image's files, if any, and return its record; many threads."""
        ...

    def process(self, source: Source, outputs: Outputs, tell: Tell) -> Record:
        """Do all stations for an input that cannot be batched, such as a video; the calling thread."""
        raise NotImplementedError
