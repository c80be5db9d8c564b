"""The options of `attnimg enhance`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from attnimg.errors import UsageError
from attnimg.files.formats import DEFAULT_QUALITY
from attnimg.models.registry import TASKS
from attnimg.options.common import ImageOptions, Model
from attnimg.options.option import Option
from attnimg.options.parsing import parse_side

SMALLEST_TILE = 64  # pixels


@dataclass(frozen=True)
class AppearanceOptions:
    """The look of the enhanced photos."""

    strength: Annotated[
        float, Option(minimum=0, maximum=1, help="How far to go: 0 leaves the photo as it is.", panel="Look")
    ] = 1.0
    exposure: Annotated[
        float | None,
        Option(
            minimum=0,
            maximum=1,
            help="Target mean brightness; never darkens. Default: chosen by the net.",
            panel="Look",
        ),
    ] = None
    denoise: Annotated[float, Option(minimum=0, maximum=1, help="How much of the noise to remove.", panel="Look")] = 1.0


@dataclass(frozen=True)
class WriteOptions:
    """How the photos are written."""

    save_as: Annotated[
        Literal["same", "jpeg", "png", "webp", "tiff"],
        Option(help="Format of the outputs; same: the photo's own.", panel="Output"),
    ] = "same"
    quality: Annotated[
        int, Option(minimum=1, maximum=100, help="Quality of JPEG, WebP, AVIF and HEIC.", panel="Output")
    ] = DEFAULT_QUALITY
    suffix: Annotated[str, Option(help="Text between name and extension, such as -bright.", panel="Output")] = ""
    strip: Annotated[bool, Option(help="Drop EXIF, XMP, and the profile (for sRGB).", panel="Output")] = False
    side_by_side: Annotated[bool, Option(help="Write before and after in one picture.", panel="Output")] = False

    def __post_init__(self) -> None:
        if "/" in self.suffix or os.sep in self.suffix or "\0" in self.suffix:
            raise UsageError("--suffix is a part of a name; choose the folder with -o.")

    @property
    def format(self) -> str | None:
        """The format of all outputs, or None for each photo's own."""
        return None if self.save_as == "same" else self.save_as.upper()


@dataclass(frozen=True)
class EnhanceOptions(ImageOptions):
    """Brighten photos and videos taken in low light, and remove their noise.

    -o is a folder, a file for a single photo, or - for stdout. Format, bit depth, transparency, color profile and EXIF
    are kept. Records go to stdout, one per photo, in order; everything else goes to stderr.
    """

    appearance: AppearanceOptions
    writing: WriteOptions
    model: Model = TASKS["enhance"].model
    tile: Annotated[
        str, Option(metavar="auto|N", help="Side of the tiles of large photos, in pixels.", panel="Speed")
    ] = "auto"
    video: Annotated[bool, Option(help="Include the videos in folders; they get no overlay.", panel="Input")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        outputs = self.outputs
        if outputs.output is None:
            raise UsageError("Name a folder for the enhanced photos with -o DIR.")
        if outputs.to_stdout and (outputs.overlay or self.writing.side_by_side):
            raise UsageError("-o - writes one photo and nothing else. For --overlay and --side-by-side name a folder.")
        _ = self.tile_side

    @property
    def tile_side(self) -> int | None:
        """The side of the tiles, in pixels; None: as suits the device. UsageError: it is no number."""
        return parse_side("--tile", self.tile, SMALLEST_TILE, auto=None)
