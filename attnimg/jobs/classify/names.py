"""The names of the files that classification writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnimg.files.outputs import Output, OutputNames, Outputs
from attnimg.files.source import Source
from attnimg.jobs.classify.sort import refuse_pipe
from attnimg.jobs.destination import ENDINGS

OVERLAY = ENDINGS["overlay"]


@dataclass(frozen=True)
class ClassifyNames:
    """The names of an image's files, for a dry run. overlays, sort_into: None if not wanted."""

    overlays: OutputNames | None
    sort_into: Path | None

    def plan(self, source: Source) -> Outputs:
        """Claim the names. Raises ImageError: collision, exists, unsupported."""
        outputs = {}
        if self.sort_into is not None:
            refuse_pipe(source)
            # First, as an image whose overlay exists is still to be sorted.
            outputs["filed"] = Output(self.sort_into / "<label>" / Path(source.path).name)
        if self.overlays is not None:
            outputs["overlay"] = self.overlays.place(source, OVERLAY)
        return outputs
