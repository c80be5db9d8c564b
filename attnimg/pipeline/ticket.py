"""An image's position in the output order and its result: a record, or an unexpected exception."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from attnimg.errors import ImageError
from attnimg.files.source import Source
from attnimg.records import Failed, Record


@dataclass(slots=True, eq=False)
class Ticket:
    """An image's position in the output order. Either `record` or `bug` is set, once."""

    source: Source
    record: Record | None = None
    bug: BaseException | None = None

    @property
    def done(self) -> bool:
        """Whether the image has its result."""
        return self.record is not None or self.bug is not None


@contextmanager
def recording_failures(ticket: Ticket) -> Iterator[None]:
    """Turn an `ImageError` or `MemoryError` into the image's record; keep other exceptions for the calling thread."""
    try:
        yield
    except (ImageError, MemoryError) as error:
        ticket.record = failed(ticket.source, error)
    except BaseException as error:  # noqa: BLE001 - raised again on the calling thread
        ticket.bug = error


def failed(source: Source, error: ImageError | MemoryError) -> Failed:
    """Return the record of a failed image."""
    if isinstance(error, ImageError):
        return Failed.of(source.path, error)
    return Failed(
        source.path,
        "out-of-memory",
        "There is not enough memory for this image. Try fewer --workers or --device cpu, or make the image smaller.",
    )
