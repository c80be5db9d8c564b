"""`attnimg enhance`: dark photos become bright, clean ones, in their own format, and what the net went by."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from attnimg import checkpoints
from attnimg.cli.batch import Search, build_placer, print_plan, run_batch
from attnimg.cli.console import Console
from attnimg.cli.naming import Files, Naming, find_single_file, is_video
from attnimg.cli.options import Compute, Inputs, Model, Outputs, Report
from attnimg.cli.reading import Reader, open_reader
from attnimg.cli.resume import open_journal
from attnimg.cli.single import STDOUT, find_ahead, plan_stdout, write_to_stdout
from attnimg.cli.spread import spread
from attnimg.cli.values import parse_side
from attnimg.cli.video import MixedJob
from attnimg.errors import UsageError
from attnimg.images.place import Targets
from attnimg.images.source import Source
from attnimg.pipeline.journal import Journal
from attnimg.results import Enhanced, Record, Skipped

if TYPE_CHECKING:
    from attnimg.images.encode import Encoded
    from attnimg.images.picture import Picture
    from attnimg.tasks.enhance import Enhancer, Prepared, Restored, Settings


@dataclass(frozen=True)
class Look:
    """How the photos are to look."""

    strength: Annotated[
        float, typer.Option(min=0, max=1, help="How far to go: 0 leaves the photo as it is.", rich_help_panel="Look")
    ] = 1.0
    exposure: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Mean brightness to aim at; never darkens. Default: what the net judges right.",
            rich_help_panel="Look",
        ),
    ] = None
    denoise: Annotated[
        float, typer.Option(min=0, max=1, help="How much of the noise to remove.", rich_help_panel="Look")
    ] = 1.0


@spread
def enhance(
    inputs: Inputs,
    outputs: Outputs,
    look: Look,
    files: Files,
    compute: Compute,
    report: Report,
    *,
    model: Model = "night",
    tile: Annotated[
        str,
        typer.Option(metavar="auto|N", help="Side of large photos' tiles, in pixels.", rich_help_panel="Speed"),
    ] = "auto",
    video: Annotated[
        bool,
        typer.Option("--video", help="Also the videos in folders; none gets an overlay.", rich_help_panel="Input"),
    ] = False,
) -> None:
    """Brighten photos and videos taken in low light, and clean them of the noise that comes with it.

    -o is a folder, a file for a single photo, or - for stdout. Format, bit depth, transparency, colour profile and EXIF
    stay as they are. Records go to stdout, one per photo, in order; all else goes to stderr.
    """
    if outputs.output is None:
        raise UsageError("Enhanced photos need a place. Say into which folder with -o DIR.")
    side: int | None = parse_side("--tile", tile, 64, auto=None)
    console = Console.of_process(report.quiet)
    search = Search(inputs, outputs.output, videos=video)
    to_stdout, only = outputs.output == STDOUT, find_single_file(outputs.output, files)
    if to_stdout and (outputs.overlay or files.side_by_side):
        raise UsageError("-o - writes one photo and nothing else. For --overlay and --side-by-side name a folder.")
    if files.suffix and (to_stdout or only):
        raise UsageError("--suffix is for the names in a folder, and -o names none. Leave it out, or name a folder.")
    sources = find_ahead(search, inputs, outputs, report, only)
    if to_stdout and any(map(is_video, sources)):
        raise UsageError("-o - writes a photo, and a video needs a file. Name one, or a folder.")
    journal = Journal() if outputs.dry_run else open_journal(report, model, Enhanced)
    folder = Path() if to_stdout else only.parent if only else outputs.output
    naming = Naming(build_placer(folder, outputs, search, journal), files, only, overlay=outputs.overlay)
    if outputs.dry_run:
        checkpoints.find(model)
        raise typer.Exit(print_plan(search, plan_stdout if to_stdout else naming.plan, console, inputs))

    # Only now, as this takes seconds.
    from attnimg.tasks.enhance import Settings, load_enhancer

    enhancer = load_enhancer(model, device=compute.device, precision=compute.precision, tile=side)
    settings = Settings(look.strength, look.exposure, look.denoise)
    with open_reader(inputs, compute) as reader:
        job = EnhanceJob(enhancer, settings, naming, reader)
        if to_stdout and sources:
            advice = "Try --tile 256 or --device cpu."
            raise typer.Exit(write_to_stdout(job, sources[0], console, advice=advice))
        mixed = MixedJob(job, is_video, inputs.max_pixels)
        status = run_batch(
            search,
            mixed,
            Enhanced,
            compute=compute,
            report=report,
            console=console,
            journal=journal,
            start=mixed.show_on,
        )
    raise typer.Exit(status)


class Ready(NamedTuple):
    """A decoded photo, and where it goes."""

    picture: Picture
    prepared: Prepared
    targets: Targets


class EnhanceJob:
    """Enhancement as the stream sees it."""

    def __init__(self, enhancer: Enhancer, settings: Settings, naming: Naming, reader: Reader) -> None:
        self.enhancer, self.settings, self.naming, self.reader = enhancer, settings, naming, reader

    def admit(self, source: Source) -> Record | Targets:
        """Claim the names."""
        targets = self.naming.plan(source)
        if targets["output"].skip:
            return Skipped(source.path, os.fspath(targets["output"].path))
        return {key: target for key, target in targets.items() if not target.skip}

    def read(self, source: Source, targets: Targets) -> Ready:
        """Decode the photo and make its small copy."""
        picture = self.reader(source)
        return Ready(picture, self.enhancer.prepare(picture.pixels), targets)

    def shape(self, ready: Ready) -> Hashable:
        """Photos of one shape and depth go together."""
        return ready.picture.pixels.shape, ready.picture.pixels.dtype

    def pixels(self, ready: Ready) -> int:
        """Count those of the photo, twice for 16 bits, of its result, and of its own colours where it has such."""
        return (3 - (ready.picture.own is None)) * ready.picture.pixels.nbytes // 3

    def predict(self, batch: list[Ready]) -> Sequence[Restored]:
        """Run the net."""
        wanted = any("overlay" in ready.targets for ready in batch)
        return self.enhancer.predict([ready.prepared for ready in batch], self.settings, attention=wanted)

    def encode(self, ready: Ready, outcome: Restored) -> Encoded:
        """Return the file of an enhanced photo, and what is to be noted of reading and of writing it."""
        from attnimg.images.encode import encode
        from attnimg.images.metadata import Metadata

        picture, files = ready.picture, self.naming.files
        encoded = encode(
            outcome.pixels,
            picture.alpha,
            format=self.naming.format_for(picture.format),
            metadata=Metadata() if files.strip else picture.metadata,
            lossless=picture.lossless,
            grey=picture.grey,
            quality=files.quality,
            before=picture,
        )
        return encoded._replace(note="; ".join(filter(None, [picture.note, encoded.note])) or None)

    def write(self, source: Source, ready: Ready, outcome: Restored) -> Enhanced:
        """Write the photo, and what stands beside it."""
        from attnimg.images.draw import draw_beside, draw_overlay, fit_jpeg
        from attnimg.images.write import write_bytes, write_image

        targets, encoded = ready.targets, self.encode(ready, outcome)
        note = encoded.note
        if "overlay" in targets and outcome.attention is not None:
            write_image(targets["overlay"], draw_overlay(outcome.pixels, outcome.attention))
        if "compare" in targets:
            drawn = draw_beside(ready.picture.pixels, outcome.pixels)
            fitting = fit_jpeg(drawn)
            write_image(targets["compare"], fitting)
            if fitting is not drawn:
                note = "; ".join(filter(None, [note, "its comparison was scaled down, for JPEG holds no such sides"]))
        # Last, for a photo that is there is what --skip-existing takes for done.
        write_bytes(targets["output"], encoded.data, modified=_time_of(source))
        width, height = ready.picture.size
        files: dict[str, Any] = {key: os.fspath(target.path) for key, target in targets.items()}
        return Enhanced(source.path, model=self.enhancer.model, width=width, height=height, note=note, **files)


def _time_of(source: Source) -> int | None:
    """Return when a photo was changed last, in ns as `make` sees; None where it came on stdin, or is gone by now."""
    try:
        return None if source.data is not None else os.stat(source.path).st_mtime_ns  # noqa: PTH116 - any bytes
    except OSError:
        return None
