"""The interface of a run's journal, and the journal that keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.records import Record, Tally

Admit = Callable[[Source], Record | Outputs]


class JournalFailed(Exception):  # noqa: N818 - the run's failure, not an image's
    """The journal cannot be written. An image without an entry counts as not done, so the run must end."""


class Journal:
    """Keeps nothing.

    begun: outputs that the run announced before it was interrupted, and the paths of their images.
    """

    begun: Mapping[str, str] = MappingProxyType({})

    def start(self) -> None:
        """Prepare to write."""

    def wrap_admit(self, admit: Admit) -> Admit:
        """Wrap `admit`: enter each image that will be read, and return the former record of one that is done.

        The wrapper raises a source's own error instead of calling `admit`.
        """

        def admit_found(source: Source) -> Record | Outputs:
            if source.error:
                raise source.error
            return admit(source)

        return admit_found

    def is_own_output(self, source: Source) -> bool:
        """Whether a source is a file that the run wrote before it was interrupted, and therefore not an input."""
        return False

    def announce(self, path: str, output: Path) -> None:
        """Enter one more file that will be written for the image `path`."""

    def record_outcome(self, record: Record) -> None:
        """Enter the record of an image; in input order."""

    def end(self, tally: Tally) -> None:
        """Enter the end of the run."""
