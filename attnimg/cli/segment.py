"""`attnimg segment`: photos into masks of classes that other tools can read, and what the net went by."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from attnimg import checkpoints
from attnimg.cli.batch import Search, build_placer, print_plan, run_batch
from attnimg.cli.console import Console
from attnimg.cli.options import Compute, Inputs, Model, Outputs, Report
from attnimg.cli.reading import Reader, open_reader, read_twice
from attnimg.cli.resume import open_journal
from attnimg.cli.segment_batch import BatchFiles
from attnimg.cli.segment_extras import Beside, Chosen, Extras
from attnimg.cli.single import STDOUT, find_ahead, plan_stdout, write_to_stdout
from attnimg.cli.spread import spread
from attnimg.cli.values import parse_side, tell_apart
from attnimg.errors import UsageError
from attnimg.images.formats import has_image_extension
from attnimg.images.place import Placer, Targets
from attnimg.images.source import Source
from attnimg.pipeline.journal import Journal
from attnimg.results import Area, Record, Segmented, Skipped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from attnimg.images.encode import Encoded
    from attnimg.images.masks import Mask
    from attnimg.tasks.segment import Predicted, Prepared, Segmenter

MASK = ".png"
SMALLEST = 32  # pixels; of less a net that halves four times sees nothing


@spread
def segment(
    inputs: Inputs,
    outputs: Outputs,
    extras: Extras,
    compute: Compute,
    report: Report,
    *,
    model: Model = "street",
    resize: Annotated[
        str,
        typer.Option(
            metavar="auto|none|N",
            help="Shortest side in pixels at which photos are seen; auto: the model's own; none: theirs.",
        ),
    ] = "auto",
    tta: Annotated[bool, typer.Option("--tta", help="See each photo mirrored as well, and average.")] = False,
) -> None:
    """Say of every pixel of photos what it shows, as masks whose values are class ids.

    -o is a folder, or a file for a single photo. Each photo becomes <stem>.png, an 8-bit PNG with the classes' colours
    for its palette, as large as the upright photo; 255 is of no class. Records go to stdout, one per photo, in order.
    """
    if outputs.output is None:
        raise UsageError("Masks need a place. Say into which folder with -o DIR.")
    console = Console.of_process(report.quiet)
    seen_at: int | Literal["auto"] | None = parse_side("--resize", resize, SMALLEST, auto="auto", none=None)
    header = checkpoints.read_header(checkpoints.find(model))
    chosen = Chosen.of(extras, [entry["label"] for entry in header.get("classes", ())], model)
    beside = Beside(extras, chosen, overlay=outputs.overlay)
    _check(inputs, outputs, extras, report, beside)
    search = Search(inputs, outputs.output)
    to_stdout, only = outputs.output == STDOUT, _find_single_file(outputs.output)
    sources = find_ahead(search, inputs, outputs, report, only)
    journal = Journal() if outputs.dry_run else open_journal(report, model, Segmented, extras.coco, extras.summary)
    folder = Path() if to_stdout else only.parent if only else outputs.output
    naming = Naming(build_placer(folder, outputs, search, journal), only, beside.endings)
    known = search.inputs or ()
    batch = BatchFiles(extras.coco, extras.summary, overwrite=outputs.overwrite, inputs=known, journal=journal)
    if outputs.dry_run:
        status = print_plan(search, plan_stdout if to_stdout else naming.plan, console, inputs)
        for path in batch.paths:
            console.print(f"all -> {path}")
        raise typer.Exit(status)

    # Only now, as this takes seconds.
    from attnimg.tasks.segment import load_segmenter

    segmenter = load_segmenter(model, device=compute.device, precision=compute.precision, resize=seen_at, tta=tta)
    with open_reader(inputs, compute) as reader:
        job = SegmentJob(segmenter, naming, beside, batch, reader)
        if to_stdout and sources:
            advice = "Try a smaller --resize, or --device cpu."
            raise typer.Exit(write_to_stdout(job, sources[0], console, advice=advice))
        status = run_batch(
            search,
            job,
            Segmented,
            compute=compute,
            report=report,
            console=console,
            journal=journal,
            finish=batch.collect,
            end=partial(batch.write, segmenter.classes),
        )
    raise typer.Exit(status)


def _check(inputs: Inputs, outputs: Outputs, extras: Extras, report: Report, beside: Beside) -> None:
    tell_apart({**report.files, "--coco": extras.coco, "--summary": extras.summary})
    if inputs.watch and (extras.coco or extras.summary):
        raise UsageError("--coco and --summary are written at the end, and --watch knows none. Leave it out.")
    if outputs.output == STDOUT and (beside.endings or extras.coco or extras.summary):
        raise UsageError("-o - writes one mask and nothing else. For other files beside it name a folder.")


class Naming:
    """Decides where the files of a photo go. only: the one file that was asked for with -o FILE. endings: of others."""

    def __init__(self, placer: Placer, only: Path | None, endings: Sequence[str]) -> None:
        self.placer, self.only, self.endings = placer, only, endings

    def plan(self, source: Source) -> Targets:
        """Claim the names of all files of a photo, by their endings. Raises ImageError: collision, exists."""
        if self.only is not None:
            source = replace(source, relative=PurePath(self.only.name))
        mask = self.placer.place(source, self.only.suffix if self.only else MASK)
        return {MASK: mask, **{ending: self.placer.place(source, ending) for ending in self.endings}}


class Ready(NamedTuple):
    """A photo that is decoded and scaled, and the files that it becomes, by ending. photo: H x W x 3 as it is."""

    prepared: Prepared
    photo: NDArray[np.uint8] | None
    targets: Targets
    note: str | None


class SegmentJob:
    """Segmentation as the stream sees it."""

    def __init__(self, segmenter: Segmenter, naming: Naming, beside: Beside, batch: BatchFiles, reader: Reader) -> None:
        self.segmenter, self.naming, self.beside, self.batch = segmenter, naming, beside, batch
        self.reader = reader

    def admit(self, source: Source) -> Record | Targets:
        """Claim the names."""
        targets = self.naming.plan(source)
        if targets[MASK].skip:
            return Skipped(source.path, os.fspath(targets[MASK].path))
        return {ending: target for ending, target in targets.items() if not target.skip}

    def read(self, source: Source, targets: Targets) -> Ready:
        """Decode no larger than the net needs, and scale; once more at full size for what is drawn on the photo."""
        from attnimg.images.picture import to_bytes

        shortest = self.segmenter.shortest
        if not self.beside.needs_photo:
            picture = self.reader(source, shortest=shortest)
            return Ready(self.segmenter.prepare(picture.on_white(), picture.size), None, targets, picture.note)
        picture, whole = read_twice(self.reader, source, shortest)
        prepared = self.segmenter.prepare(picture.on_white(), picture.size)
        return Ready(prepared, to_bytes(whole.on_white()), targets, picture.note)

    def shape(self, ready: Ready) -> Hashable:
        """Photos that the net sees at one size go together."""
        return ready.prepared.pixels.shape

    def pixels(self, ready: Ready) -> int:
        """Count those that the net sees, those of the photo where it is kept, and a third for those of the mask."""
        width, height = ready.prepared.size
        return (ready.prepared.pixels.size + width * height * (1 if ready.photo is None else 4)) // 3

    def predict(self, batch: list[Ready]) -> Sequence[Predicted]:
        """Run the net."""
        return self.segmenter.predict(
            [ready.prepared for ready in batch],
            attention=self.beside.needs_attention,
            scores=self.beside.needs_scores,
        )

    def encode(self, ready: Ready, outcome: Predicted) -> Encoded:
        """Return the file of a mask, and what is to be noted of reading the photo."""
        from attnimg.images.encode import Encoded

        return Encoded(self._encode(self.beside.settle(outcome.mask)), ready.note)

    def _encode(self, mask: Mask) -> memoryview:
        from attnimg.images.masks import encode_mask

        return encode_mask(mask, [c.color for c in self.segmenter.classes])

    def write(self, source: Source, ready: Ready, outcome: Predicted) -> Segmented:
        """Write the mask, and what stands beside it."""
        from attnimg.images.write import write_bytes

        classes, targets = self.segmenter.classes, ready.targets
        mask = self.beside.settle(outcome.mask)
        areas = measure(mask, [c.label for c in classes])
        written = self.beside.write(targets, ready.photo, outcome, mask, classes, areas)
        # Last, for a mask that is there is what --skip-existing takes for done.
        write_bytes(targets[MASK], self._encode(mask))
        output, (width, height) = os.fspath(targets[MASK].path), ready.prepared.size
        self.batch.note(output, mask, areas)
        return Segmented(source.path, output, self.segmenter.model, width, height, areas, note=ready.note, **written)


def measure(mask: Mask, labels: Sequence[str]) -> tuple[Area, ...]:
    """Count the pixels of each class that is there, largest first."""
    import numpy as np

    counts = [int(np.count_nonzero(mask == i)) for i in range(len(labels))]
    largest_first = sorted(range(len(labels)), key=lambda i: -counts[i])
    return tuple(Area(i, labels[i], counts[i], counts[i] / mask.size) for i in largest_first if counts[i])


def _find_single_file(output: Path) -> Path | None:
    if output.is_dir() or not has_image_extension(os.fspath(output)):
        return None
    if output.suffix.lower() != MASK:
        raise UsageError(f"Masks are PNG files, and {output} is none. Name a .png for a single photo, or a folder.")
    return output
