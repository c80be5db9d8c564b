"""A single image, for `-o FILE` and `-o -`; to stdout go the file's bytes and no record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from attnimg.cli.batch import Search
from attnimg.cli.console import Console
from attnimg.cli.options import Inputs, Outputs, Report
from attnimg.cli.status import ExitStatus
from attnimg.errors import ImageError, UsageError
from attnimg.images.place import Target, Targets
from attnimg.images.source import Source
from attnimg.results import Tally

if TYPE_CHECKING:
    from attnimg.images.encode import Encoded

STDOUT = Path("-")

Ready = TypeVar("Ready")
Outcome = TypeVar("Outcome")


def find_ahead(search: Search, inputs: Inputs, outputs: Outputs, report: Report, only: Path | None) -> list[Source]:
    """Return all sources where they must be known before the first is read, else none, so that none is waited for.

    only: the file that -o names, if it does. UsageError: -o takes one photo, and there are more; or it is stdout, and
    records are to be kept.
    """
    if outputs.output == STDOUT and (report.report or report.errors):
        raise UsageError("-o - writes one file and no record. For --report and --errors name a folder.")
    takes_one = outputs.output == STDOUT or only is not None
    sources = search.all() if takes_one or outputs.may_replace(inputs) else []
    if takes_one and len(sources) > 1:
        raise UsageError(f"-o {outputs.output} takes one photo, and {len(sources)} were found. Name a folder.")
    return sources


def plan_stdout(source: Source) -> Targets:
    """Return where a single image goes, for a dry run."""
    return {"output": Target(STDOUT)}


class Encoder(Protocol[Ready, Outcome]):
    """The parts of a `pipeline.job.Job` that are needed, and its image's file."""

    def read(self, source: Source, targets: Targets) -> Ready:
        """Decode the image."""

    def predict(self, batch: list[Ready]) -> Sequence[Outcome]:
        """Run the net."""

    def encode(self, ready: Ready, outcome: Outcome) -> Encoded:
        """Return the file, and all that its record would note."""


def write_to_stdout(job: Encoder[Ready, Outcome], source: Source, console: Console, *, advice: str) -> ExitStatus:
    """Write what becomes of one image, or complain. advice: what to try where memory does not suffice."""
    try:
        ready = job.read(source, {})
        (outcome,) = job.predict([ready])
        encoded = job.encode(ready, outcome)
    except (ImageError, MemoryError) as error:
        reason = f"Memory does not suffice for it. {advice}" if isinstance(error, MemoryError) else error
        console.complain(f"{source.path}: {reason}")
        console.say(Tally(failed=1).line(0))
        return ExitStatus.SOME_FAILED
    with console.printing():
        console.out.buffer.write(encoded.data)
        console.out.buffer.flush()
    if encoded.note:
        console.say(f"{source.path}: {encoded.note}")
    console.say(Tally(done=1).line(0))
    return ExitStatus.OK
