"""One image's place in a stream's order, and how its way ends: in a record, or in a bug of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from attnimg.errors import ImageError
from attnimg.images.source import Source
from attnimg.results import Failed, Record


@dataclass(slots=True, eq=False)
class Slot:
    """One image's place in the order. `record` or `bug` is set once, when the image's way ends."""

    source: Source
    record: Record | None = None
    bug: BaseException | None = None

    @property
    def settled(self) -> bool:
        """Whether the way has ended."""
        return self.record is not None or self.bug is not None


@contextmanager
def settling(slot: Slot) -> Iterator[None]:
    """Turn what goes wrong with an image into its record, and keep a bug for the calling thread."""
    try:
        yield
    except (ImageError, MemoryError) as error:
        slot.record = failed(slot.source, error)
    except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
        slot.bug = error


def failed(source: Source, error: ImageError | MemoryError) -> Failed:
    """Return the record of an image that failed."""
    if isinstance(error, ImageError):
        return Failed.of(source.path, error)
    return Failed(
        source.path,
        "out-of-memory",
        "There is not enough memory for this image. Try fewer --workers or --device cpu, or make the image smaller.",
    )
