"""`attnimg classify`: labels for images, and where the net looked."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from attnimg import checkpoints
from attnimg.cli.batch import Search, build_placer, print_plan, run_batch
from attnimg.cli.console import Console
from attnimg.cli.options import Compute, Inputs, Model, Outputs, Report, Views
from attnimg.cli.reading import Reader, open_reader, read_twice
from attnimg.cli.resume import open_journal
from attnimg.cli.sort import Sorter, Sorting, refuse_pipe
from attnimg.cli.spread import spread
from attnimg.errors import UsageError
from attnimg.images.formats import has_image_extension
from attnimg.images.place import Placer, Target, Targets
from attnimg.images.source import Source
from attnimg.pipeline.journal import Journal
from attnimg.results import Classified, Record, Skipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from attnimg.tasks.classify import Classifier, Predicted, Prepared

OVERLAY = ".overlay.png"


@spread
def classify(
    inputs: Inputs,
    outputs: Outputs,
    compute: Compute,
    report: Report,
    sorting: Sorting,
    *,
    model: Model = "objects",
    topk: Annotated[int, typer.Option(min=1, help="Most labels per image.")] = 5,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Report no label whose score is below.")] = 0.0,
    views: Views = 1,
) -> None:
    """Label images, best label first.

    Results go to stdout, one record per image, in order; all else goes to stderr.
    A bad image gets a record that says so, the others are done, and the exit status is 1.
    """
    _check(inputs, outputs, sorting)
    console = Console.of_process(report.quiet)
    search = Search(inputs, outputs.output, sorting.sort_into)
    # What is written must not be found: all is looked for before anything is filed, or replaced, or put among inputs.
    # Nor is an input to be replaced; but what comes one by one is not waited for.
    is_known = outputs.may_replace(inputs) or sorting.sort_into or _is_input(outputs.output, inputs)
    if is_known:
        search.all()
    journal = Journal() if outputs.dry_run else open_journal(report, model, Classified)
    overlays = build_placer(outputs.output, outputs, search, journal) if outputs.output else None
    if outputs.dry_run:
        checkpoints.find(model)
        raise typer.Exit(print_plan(search, partial(_plan, overlays, sorting.sort_into), console, inputs))

    # Only now, as this takes seconds.
    from attnimg.tasks.classify import load_classifier

    classifier = load_classifier(model, device=compute.device, precision=compute.precision, views=views)
    finish = None
    if sorting.sort_into:
        placer = build_placer(sorting.sort_into, outputs, search, journal)
        finish = Sorter(placer, sorting.how, outputs.overwrite, journal).file
    with open_reader(inputs, compute) as reader:
        job = ClassifyJob(
            classifier, topk=topk, min_score=min_score, reader=reader, overlays=overlays, sorting=finish is not None
        )
        status = run_batch(
            search, job, Classified, compute=compute, report=report, console=console, journal=journal, finish=finish
        )
    raise typer.Exit(status)


def _check(inputs: Inputs, outputs: Outputs, sorting: Sorting) -> None:
    if outputs.output and not outputs.overlay:
        raise UsageError("-o is where overlays go. Add --overlay, or leave -o out.")
    if outputs.output and (os.fspath(outputs.output) == "-" or has_image_extension(os.fspath(outputs.output))):
        raise UsageError("Overlays are files, and go into a folder: -o DIR.")
    if sorting.sort_into and inputs.names_stdin:
        raise UsageError("--sort-into files images by their names, and one from stdin has none. Save it as a file.")
    if sorting.sort_into and inputs.shard:
        raise UsageError("--sort-into numbers equal names, and a --shard does not know all. Leave one of them out.")


class Ready(NamedTuple):
    """A decoded image. pixels: H x W x 3 for the overlay, and where that goes, if one is wanted."""

    prepared: Prepared
    pixels: NDArray[Any] | None
    overlay: Target | None
    note: str | None


class ClassifyJob:
    """Classification as the stream sees it: read, predict, draw the overlay, say what was found.

    overlays: names the overlays; None when none are wanted. sorting: whether images are sorted afterwards.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        topk: int,
        min_score: float,
        reader: Reader,
        overlays: Placer | None = None,
        sorting: bool = False,
    ) -> None:
        self.classifier, self.topk, self.min_score = classifier, topk, min_score
        self.reader, self.overlays, self.sorting = reader, overlays, sorting

    def admit(self, source: Source) -> Record | Targets:
        """Claim the overlay's name."""
        if self.sorting:
            refuse_pipe(source)
        if self.overlays is None:
            return {}
        target = self.overlays.place(source, OVERLAY)
        if not target.skip:
            return {"overlay": target}
        if self.sorting:  # which comes last, and may not have been reached by the run that drew the overlay
            return {}
        return Skipped(source.path, os.fspath(target.path))

    def read(self, source: Source, targets: Targets) -> Ready:
        """Decode no larger than the net needs and cut the views; once more at full size for an overlay."""
        overlay = targets.get("overlay")
        shortest = self.classifier.shortest
        if overlay is None:
            picture = self.reader(source, shortest=shortest)
            return Ready(self.classifier.prepare(picture.on_white()), None, None, picture.note)
        picture, whole = read_twice(self.reader, source, shortest)
        return Ready(self.classifier.prepare(picture.on_white()), whole.on_white(), overlay, picture.note)

    def shape(self, ready: Ready) -> Hashable:
        """All views have one shape."""
        return None

    def pixels(self, ready: Ready) -> int:
        """Count those of the views and of the picture."""
        return (ready.prepared.views.size + (0 if ready.pixels is None else ready.pixels.size)) // 3

    def predict(self, batch: list[Ready]) -> Sequence[Predicted]:
        """Run the net."""
        return self.classifier.predict([ready.prepared for ready in batch], attention=self.overlays is not None)

    def write(self, source: Source, ready: Ready, outcome: Predicted) -> Classified:
        """Write the overlay, and name the labels."""
        if ready.overlay is not None and ready.pixels is not None and outcome.attention is not None:
            from attnimg.images.draw import draw_overlay
            from attnimg.images.write import write_image

            write_image(ready.overlay, draw_overlay(ready.pixels, outcome.attention))
        predictions = self.classifier.best(outcome, self.topk, self.min_score)
        path = None if ready.overlay is None else os.fspath(ready.overlay.path)
        return Classified(source.path, self.classifier.model, predictions, overlay=path, note=ready.note)


def _is_input(output: Path | None, inputs: Inputs) -> bool:
    return output is not None and any(os.path.realpath(output) == os.path.realpath(i) for i in inputs.inputs or ())


def _plan(overlays: Placer | None, sort_into: Path | None, source: Source) -> Targets:
    targets = {}
    if sort_into is not None:
        refuse_pipe(source)
        # First, for an image whose overlay is there is still to be filed.
        targets["filed"] = Target(sort_into / "<label>" / Path(source.path).name)
    if overlays is not None:
        targets["overlay"] = overlays.place(source, OVERLAY)
    return targets
