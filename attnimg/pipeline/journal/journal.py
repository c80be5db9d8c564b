"""What a run notes of itself while it goes, if anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.records import Record, Tally

Admit = Callable[[Source], Record | Outputs]


class JournalFailed(Exception):  # noqa: N818 - the run's failure, not an image's
    """The journal cannot be written. What is not in it is not done, so the run must end."""


class Journal:
    """Notes nothing.

    begun: the outputs that the run announced before it was interrupted, and the paths of their images.
    """

    begun: Mapping[str, str] = MappingProxyType({})

    def start(self) -> None:
        """Be ready to write."""

    def wrap_admit(self, admit: Admit) -> Admit:
        """Return what admits sources as `admit` does, notes those that are to be read, and recalls those done.

        It raises the error of a source that has one, which `admit` never sees.
        """

        def admit_found(source: Source) -> Record | Outputs:
            if source.error:
                raise source.error
            return admit(source)

        return admit_found

    def is_own_output(self, source: Source) -> bool:
        """Tell whether a source is a file that the run wrote before it was interrupted, and so none of its inputs."""
        return False

    def announce(self, path: str, output: Path) -> None:
        """Note one more file that is to be written for the image `path`."""

    def record_outcome(self, record: Record) -> None:
        """Note what came of an image; in input order."""

    def end(self, tally: Tally) -> None:
        """Note that the run is over."""
