"""A single image to stdout, for `-o -`: the file's bytes and no record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from attnimg.cli.console import Console
from attnimg.cli.status import ExitStatus
from attnimg.errors import ImageError
from attnimg.images.place import Targets
from attnimg.images.source import Source
from attnimg.results import Tally

if TYPE_CHECKING:
    from attnimg.images.encode import Encoded

Ready = TypeVar("Ready")
Outcome = TypeVar("Outcome")


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
