"""Where the outputs of a run go: below a folder (-o DIR), into one file (-o FILE), or to stdout (-o -)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from attnimg.errors import UsageError
from attnimg.files.outputs import STDOUT, Output, OutputNames, Outputs
from attnimg.files.source import Source
from attnimg.images.reader import Reader
from attnimg.jobs.journaling import Invocation
from attnimg.jobs.source_queue import SourceQueue
from attnimg.options.common import ImageOptions
from attnimg.pipeline.journal.journal import Journal

ENDINGS = {
    "overlay": ".overlay.png",
    "compare": ".compare.jpg",
    "preview": ".preview.jpg",
    "cutout": ".cutout.png",
    "polygons": ".polygons.geojson",
}
"""Endings of the files next to an output, by the keys that name them in records."""


@dataclass(frozen=True)
class Destination:
    """Gives out the names of an image's files.

    names: below a folder. only: the file of -o FILE, if it names one. stdout: the output of -o -, if it is that.
    """

    names: OutputNames
    only: Path | None = None
    stdout: Output | None = None

    def plan(self, source: Source, extension: str, extras: Mapping[str, str]) -> Outputs:
        """Claim the output and the files next to it. Raises ImageError: collision, exists, write-failed.

        extension: of the output in a folder. extras: endings of the other files, by key.
        """
        if self.stdout is not None:
            return {"output": self.stdout}
        if self.only is not None:
            source, extension = replace(source, relative=PurePath(self.only.name)), self.only.suffix
        output = self.names.place(source, extension)
        return {"output": output, **{key: self.names.place(source, ending) for key, ending in extras.items()}}


def open_destination(
    options: ImageOptions,
    only: Path | None,
    queue: SourceQueue,
    journal: Journal,
    reader: Reader,
    invocation: Invocation,
) -> Destination:
    """Return the destination that the options ask for. only: the file that -o names, if it does."""
    if options.outputs.to_stdout:
        names = name_outputs(options, Path(), queue, journal, reader)
        return Destination(names, stdout=Output(STDOUT, stream=invocation.stdout))
    folder = only.parent if only else options.outputs.output or Path()
    return Destination(name_outputs(options, folder, queue, journal, reader), only)


def name_outputs(
    options: ImageOptions, folder: Path, queue: SourceQueue, journal: Journal, reader: Reader
) -> OutputNames:
    """Return an `OutputNames` for a folder, as the options ask."""
    return OutputNames(
        folder,
        overwrite=options.outputs.overwrite,
        skip_existing=options.outputs.skip_existing,
        inputs=queue.known,
        begun=journal.begun,
        is_complete=reader.is_complete,
    )


def find_sources(options: ImageOptions, queue: SourceQueue, only: Path | None) -> list[Source]:
    """Return all sources if they must be known before the first is read, else none.

    only: as of `open_destination`. UsageError: -o takes one image, and more were found.
    """
    takes_one = options.outputs.to_stdout or only is not None
    sources = queue.wait() if takes_one or options.outputs.may_replace(options.inputs) else []
    if takes_one and len(sources) > 1:
        raise UsageError(f"-o {options.outputs.output} takes one image, and {len(sources)} were found. Name a folder.")
    return sources
