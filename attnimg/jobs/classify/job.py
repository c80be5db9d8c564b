"""Classification, station by station."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Self

from numpy.typing import NDArray

from attnimg.drawing.overlay import draw_overlay
from attnimg.drawing.write import write_drawing
from attnimg.files.outputs import Output, OutputNames, Outputs
from attnimg.files.source import Source
from attnimg.images.reader import Reader, read_reduced_and_full
from attnimg.jobs.classify.names import OVERLAY
from attnimg.jobs.classify.options import ClassifyOptions
from attnimg.jobs.classify.sort import refuse_pipe
from attnimg.models.load import load
from attnimg.pipeline.job import Job
from attnimg.predictors.classify import Classifier, Predicted, Prepared
from attnimg.records import Classified, Record, Skipped


class Ready(NamedTuple):
    """A decoded image. pixels: H x W x 3 for the overlay, and its file, if one is wanted."""

    prepared: Prepared
    pixels: NDArray[Any] | None
    overlay: Output | None
    note: str | None


class ClassifyJob(Job[Ready, Predicted]):
    """Reads, predicts, draws the overlay and returns the labels.

    overlays: gives out the overlays' names; None if none are wanted. sorting: whether images are sorted afterwards.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        topk: int,
        min_score: float,
        reader: Reader,
        overlays: OutputNames | None = None,
        sorting: bool = False,
    ) -> None:
        self.classifier, self.topk, self.min_score = classifier, topk, min_score
        self.reader, self.overlays, self.sorting = reader, overlays, sorting

    @classmethod
    def build(cls, options: ClassifyOptions, reader: Reader, overlays: OutputNames | None) -> Self:
        """Load the model and return the job."""
        compute = options.compute
        classifier: Classifier = load(
            "classify", options.model, device=compute.device, precision=compute.precision, views=options.views
        )
        return cls(
            classifier,
            topk=options.topk,
            min_score=options.min_score,
            reader=reader,
            overlays=overlays,
            sorting=options.sorting.sort_into is not None,
        )

    def admit(self, source: Source) -> Record | Outputs:
        """Claim the overlay's name."""
        if self.sorting:
            refuse_pipe(source)
        if self.overlays is None:
            return {}
        overlay = self.overlays.place(source, OVERLAY)
        if not overlay.skip:
            return {"overlay": overlay}
        if self.sorting:  # sorting comes last, and the run that drew the overlay may not have reached it
            return {}
        return Skipped(source.path, os.fspath(overlay.path))

    def read(self, source: Source, outputs: Outputs) -> Ready:
        """Decode no larger than the net needs and cut the views; once more at full size for an overlay."""
        overlay = outputs.get("overlay")
        shortest = self.classifier.shortest
        if overlay is None:
            image = self.reader.read(source, shortest=shortest)
            return Ready(self.classifier.prepare(image.on_white()), None, None, image.note)
        image, full = read_reduced_and_full(self.reader, source, shortest)
        return Ready(self.classifier.prepare(image.on_white()), full.on_white(), overlay, image.note)

    def shape(self, ready: Ready) -> Hashable:
        """All views have one shape."""
        return None

    def pixels(self, ready: Ready) -> int:
        """Count the pixels of the views and of the image."""
        return (ready.prepared.views.size + (0 if ready.pixels is None else ready.pixels.size)) // 3

    def predict(self, batch: list[Ready]) -> Sequence[Predicted]:
        """Run the net."""
        return self.classifier.predict([ready.prepared for ready in batch], attention=self.overlays is not None)

    def write(self, source: Source, ready: Ready, outcome: Predicted) -> Classified:
        """Write the overlay and return the labels."""
        if ready.overlay is not None and ready.pixels is not None and outcome.attention is not None:
            write_drawing(ready.overlay, draw_overlay(ready.pixels, outcome.attention))
        predictions = self.classifier.best(outcome, self.topk, self.min_score)
        path = None if ready.overlay is None else os.fspath(ready.overlay.path)
        return Classified(source.path, self.classifier.model, predictions, overlay=path, note=ready.note)
