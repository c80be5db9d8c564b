"""`attnimg enhance`: dark photos become bright, clean ones, in their own format, and what the net went by."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from attnimg import checkpoints
from attnimg.cli.batch import Search, print_plan, run_batch
from attnimg.cli.console import Console
from attnimg.cli.naming import COMPARE, OVERLAY, STDOUT, Files, Naming, Targets, find_single_file, is_video
from attnimg.cli.options import Compute, Inputs, Model, Outputs, Report, spread
from attnimg.cli.single import write_to_stdout
from attnimg.cli.video import MixedJob
from attnimg.errors import UsageError
from attnimg.images.find import Source
from attnimg.images.place import Placer, Target
from attnimg.results import Enhanced, Record, Skipped

if TYPE_CHECKING:
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
            min=0, max=1, help="About the mean to reach; default: what the net judges right.", rich_help_panel="Look"
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
    console = Console.of_process(report.quiet)
    search = Search(inputs, outputs.output, videos=video)
    to_stdout, only = outputs.output == STDOUT, find_single_file(outputs.output, files)
    if to_stdout and (outputs.overlay or files.side_by_side):
        raise UsageError("-o - writes one photo and nothing else. For --overlay and --side-by-side name a folder.")
    if files.suffix and (to_stdout or only):
        raise UsageError("--suffix is for the names in a folder, and -o names none. Leave it out, or name a folder.")
    sources = search.all() if outputs.overwrite or to_stdout or only else []
    if (to_stdout or only) and len(sources) > 1:
        raise UsageError(f"-o {outputs.output} takes one photo, and {len(sources)} were found. Name a folder.")
    if to_stdout and any(map(is_video, sources)):
        raise UsageError("-o - writes a photo, and a video needs a file. Name one, or a folder.")
    placer = Placer(
        Path() if to_stdout else only.parent if only else outputs.output,
        overwrite=outputs.overwrite,
        skip_existing=outputs.skip_existing,
        inputs=sources if outputs.overwrite else (),
    )
    naming = Naming(placer, files, only, overlay=outputs.overlay)
    if outputs.dry_run:
        checkpoints.find(model)
        raise typer.Exit(print_plan(search, (lambda _: [Target(STDOUT)]) if to_stdout else naming.plan, console))

    # Only now, as this takes seconds.
    from attnimg.tasks.enhance import Settings, load_enhancer

    enhancer = load_enhancer(model, device=compute.device, precision=compute.precision, tile=_read_tile(tile))
    settings = Settings(look.strength, look.exposure, look.denoise)
    job = EnhanceJob(enhancer, settings, naming, max_pixels=inputs.max_pixels, overwrite=outputs.overwrite)
    if to_stdout and sources:
        advice = "Try --tile 256 or --device cpu."
        raise typer.Exit(write_to_stdout(job, sources[0], console, advice=advice))
    mixed = MixedJob(job, is_video)
    raise typer.Exit(
        run_batch(search, mixed, Enhanced, compute=compute, report=report, console=console, start=mixed.show_on)
    )


class Ready(NamedTuple):
    """A decoded photo, and where it goes."""

    picture: Picture
    prepared: Prepared
    targets: Targets


class EnhanceJob:
    """Enhancement as the stream sees it."""

    def __init__(
        self, enhancer: Enhancer, settings: Settings, naming: Naming, *, max_pixels: int, overwrite: bool = False
    ) -> None:
        self.enhancer, self.settings, self.naming = enhancer, settings, naming
        self.max_pixels, self.overwrite = max_pixels, overwrite
        self._targets: dict[tuple[str, PurePath], Targets] = {}

    def admit(self, source: Source) -> Record | None:
        """Claim the names."""
        photo, *others = self.naming.plan(source)
        if photo.skip:
            return Skipped(source.path, os.fspath(photo.path))
        paths = {ending: t.path for ending, t in zip(self.naming.endings, others, strict=True) if not t.skip}
        self._targets[source.path, source.relative] = Targets(photo.path, paths.get(OVERLAY), paths.get(COMPARE))
        return None

    def read(self, source: Source) -> Ready:
        """Decode the photo and make its small copy."""
        from attnimg.images.read import read

        picture = read(source, max_pixels=self.max_pixels)
        targets = self._targets.pop((source.path, source.relative), Targets(STDOUT))
        return Ready(picture, self.enhancer.prepare(picture.pixels), targets)

    def shape(self, ready: Ready) -> Hashable:
        """Photos of one shape and depth go together."""
        return ready.picture.pixels.shape, ready.picture.pixels.dtype

    def pixels(self, ready: Ready) -> int:
        """Count those of the photo, twice for 16 bits, and of its result."""
        return 2 * ready.picture.pixels.nbytes // 3

    def predict(self, batch: list[Ready]) -> Sequence[Restored]:
        """Run the net."""
        wanted = any(ready.targets.overlay for ready in batch)
        return self.enhancer.predict([ready.prepared for ready in batch], self.settings, attention=wanted)

    def encode(self, ready: Ready, outcome: Restored) -> bytes | memoryview:
        """Return the file of an enhanced photo."""
        from attnimg.images.encode import encode
        from attnimg.images.picture import Metadata

        picture, files = ready.picture, self.naming.files
        return encode(
            outcome.pixels,
            picture.alpha,
            format=self.naming.format_for(picture.format),
            metadata=Metadata(None, None, None) if files.strip else picture.metadata,
            lossless=picture.lossless,
            grey=picture.grey,
            quality=files.quality,
        )

    def write(self, source: Source, ready: Ready, outcome: Restored) -> Enhanced:
        """Write the photo, and what stands beside it."""
        from attnimg.images.draw import draw_beside, draw_overlay
        from attnimg.images.write import write_bytes, write_image

        photo, overlay, compare = ready.targets
        data = self.encode(ready, outcome)
        if overlay and outcome.attention is not None:
            write_image(overlay, draw_overlay(outcome.pixels, outcome.attention), overwrite=self.overwrite)
        if compare:
            write_image(compare, draw_beside(ready.picture.pixels, outcome.pixels), overwrite=self.overwrite)
        # Last, for a photo that is there is what --skip-existing takes for done.
        write_bytes(photo, data, overwrite=self.overwrite, modified=_time_of(source))
        width, height = ready.picture.size
        return Enhanced(
            source.path,
            os.fspath(photo),
            self.enhancer.model,
            width,
            height,
            overlay=None if overlay is None else os.fspath(overlay),
            compare=None if compare is None else os.fspath(compare),
            note=ready.picture.note,
        )


def _read_tile(value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdecimal() or int(value) < 64:
        raise UsageError(f"--tile is auto or a number of pixels, at least 64, not {value!r}.")
    return int(value)


def _time_of(source: Source) -> float | None:
    """Return when a photo was changed last; None where it came on stdin, or is gone by now."""
    try:
        return None if source.data is not None else os.stat(source.path).st_mtime  # noqa: PTH116 - any bytes
    except OSError:
        return None
