"""The options of `attnimg segment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from attnimg.errors import UsageError
from attnimg.models.registry import TASKS
from attnimg.options.common import ImageOptions, Model
from attnimg.options.option import Option
from attnimg.options.parsing import check_distinct, parse_side

BLUR = "blur"
SMALLEST = 32  # pixels; below, nothing is left after a net has halved the photo four times


@dataclass(frozen=True)
class MaskOptions:
    """How masks are postprocessed, and which files are written next to them."""

    only: Annotated[
        str | None, Option(metavar="CLASS,...", help="Keep these classes; others become 255.", panel="Masks")
    ] = None
    min_area: Annotated[
        int, Option(minimum=1, help="Merge regions of fewer pixels into the region around them.", panel="Masks")
    ] = 1
    preview: Annotated[bool, Option(help="Write the photo under the classes' colors.", panel="Output")] = False
    cutout: Annotated[
        str | None,
        Option(metavar="CLASS,...", help="Write the pixels of these classes, transparent elsewhere.", panel="Output"),
    ] = None
    background: Annotated[
        str | None, Option(metavar="COLOR|blur", help="Put a color or the blurred photo behind.", panel="Output")
    ] = None
    polygons: Annotated[bool, Option(help="Write the classes' outlines as GeoJSON.", panel="Output")] = False
    scores: Annotated[bool, Option(help="Write a 16-bit PNG of each class's scores.", panel="Output")] = False
    coco: Annotated[
        Path | None, Option(metavar="FILE", help="Write all masks into one COCO file (.json).", panel="Output")
    ] = None
    summary: Annotated[
        Path | None, Option(metavar="FILE", help="Write the classes' areas in all photos (.csv).", panel="Output")
    ] = None

    def __post_init__(self) -> None:
        if self.background is not None and self.cutout is None:
            raise UsageError("--background needs --cutout CLASS,...")
        if self.background not in (None, BLUR):
            self.color()

    def color(self) -> tuple[int, int, int]:
        """Return the background's color, RGB 0 to 255. UsageError: it is no color."""
        from PIL import ImageColor  # only here: `--help` needs no Pillow

        try:
            red, green, blue = ImageColor.getrgb(self.background or "")[:3]
        except ValueError:
            known = "a name, such as white, #ff8800, or blur"
            raise UsageError(f"{self.background!r} is not a color. --background takes {known}.") from None
        return red, green, blue


@dataclass(frozen=True)
class SegmentOptions(ImageOptions):
    """Assign a class to every pixel, as masks whose values are class ids.

    -o is a folder, or a file for a single photo. Each photo becomes <stem>.png, an 8-bit PNG with the classes' colors
    for its palette, as large as the upright photo; 255 is no class. Records go to stdout, one per photo, in order.
    """

    masks: MaskOptions
    model: Model = TASKS["segment"].model
    resize: Annotated[
        str,
        Option(
            metavar="auto|none|N",
            help="Shortest side in pixels that the net sees; auto: the model's own; none: the photo's.",
        ),
    ] = "auto"
    tta: Annotated[bool, Option(help="Also predict the mirrored photo, and average.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        coco, summary = self.masks.coco, self.masks.summary
        if self.outputs.output is None:
            raise UsageError("Name a folder for the masks with -o DIR.")
        _ = self.shortest
        check_distinct({**self.run.files, "--coco": coco, "--summary": summary})
        if self.inputs.watch and (coco or summary):
            raise UsageError("--coco and --summary are written at the end, and --watch never ends. Leave it out.")
        if self.outputs.to_stdout and (self.writes_extras or coco or summary):
            raise UsageError("-o - writes one mask and nothing else. For more files name a folder.")

    @property
    def writes_extras(self) -> bool:
        """Whether files next to the mask are wanted."""
        masks = self.masks
        return self.outputs.overlay or masks.preview or masks.cutout is not None or masks.polygons or masks.scores

    @property
    def shortest(self) -> int | Literal["auto"] | None:
        """The shortest side that the net sees, in pixels; None: the photo's own. UsageError: it is no number."""
        sizes: dict[str, Literal["auto"] | None] = {"auto": "auto", "none": None}
        return parse_side("--resize", self.resize, SMALLEST, **sizes)
