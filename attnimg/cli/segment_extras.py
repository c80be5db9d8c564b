"""What `attnimg segment` makes of its masks: the options for that, and the files beside each mask."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import quote

import typer

from attnimg.errors import UsageError
from attnimg.images.place import Targets
from attnimg.results import Area

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from attnimg.datasets.masks import SegmentClass
    from attnimg.images.masks import Mask
    from attnimg.tasks.scores import Scores
    from attnimg.tasks.segment import Predicted

OVERLAY, PREVIEW, CUTOUT, POLYGONS = ".overlay.png", ".preview.jpg", ".cutout.png", ".polygons.geojson"
KEYS = {OVERLAY: "overlay", PREVIEW: "preview", CUTOUT: "cutout", POLYGONS: "polygons"}
BLUR = "blur"
SOFT = 2  # cells of the net's grid on both sides of a cut-out's edge


@dataclass(frozen=True)
class Extras:
    """What becomes of the masks, and which files stand beside them."""

    only: Annotated[
        str | None,
        typer.Option(metavar="CLASS,...", help="Keep these classes; the others become 255.", rich_help_panel="Masks"),
    ] = None
    min_area: Annotated[
        int,
        typer.Option(min=1, help="Give regions of fewer pixels to the region around them.", rich_help_panel="Masks"),
    ] = 1
    preview: Annotated[
        bool, typer.Option("--preview", help="Write the photo under the classes' colours.", rich_help_panel="Output")
    ] = False
    cutout: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS,...", help="Write what is of these classes, on a clear ground.", rich_help_panel="Output"
        ),
    ] = None
    background: Annotated[
        str | None,
        typer.Option(
            metavar="COLOR|blur", help="Lay the cut-out over a colour or the blurred photo.", rich_help_panel="Output"
        ),
    ] = None
    polygons: Annotated[
        bool, typer.Option("--polygons", help="Write the classes' outlines as GeoJSON.", rich_help_panel="Output")
    ] = False
    scores: Annotated[
        bool, typer.Option("--scores", help="Write a 16-bit PNG of each class's scores.", rich_help_panel="Output")
    ] = False
    coco: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write all masks into one COCO file (.json).", rich_help_panel="Output"),
    ] = None
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the classes' areas in all photos (.csv).", rich_help_panel="Output"),
    ] = None

    def __post_init__(self) -> None:
        if self.background is not None and self.cutout is None:
            raise UsageError("--background is what a cut-out is laid over; say of which classes with --cutout.")
        if self.background not in (None, BLUR):
            self.color()

    def color(self) -> tuple[int, int, int]:
        """Return the background's colour. UsageError: it is none."""
        from PIL import ImageColor

        try:
            red, green, blue = ImageColor.getrgb(self.background or "")[:3]
        except ValueError:
            known = "a name, such as white, #ff8800, or blur"
            raise UsageError(f"{self.background!r} is no colour. --background takes {known}.") from None
        return red, green, blue


@dataclass(frozen=True)
class Chosen:
    """The ids of the classes that the options name. only, cutout: None where the option is not given."""

    labels: tuple[str, ...]
    only: tuple[int, ...] | None
    cutout: tuple[int, ...] | None

    @classmethod
    def of(cls, extras: Extras, labels: Sequence[str], model: str) -> Self:
        """Look the classes up. UsageError: one is unknown, or is to be cut out and not to be kept."""
        only, cutout = (_find_classes(names, labels, model) for names in (extras.only, extras.cutout))
        lost = [labels[i] for i in cutout or () if only is not None and i not in only]
        if lost:
            raise UsageError(f"--only leaves out {', '.join(lost)}, and --cutout names it. Name it in both.")
        return cls(tuple(labels), only, cutout)


def _find_classes(names: str | None, labels: Sequence[str], model: str) -> tuple[int, ...] | None:
    if names is None:
        return None
    ids = {label.casefold(): i for i, label in enumerate(labels)}
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name.casefold() not in ids]:
        raise UsageError(f"{model} has no class {unknown[0]!r}. It has {', '.join(labels) or 'none'}.")
    return tuple(dict.fromkeys(ids[name.casefold()] for name in wanted))


class Beside:
    """Settles masks as the options ask, and writes the files that stand beside them; for any thread."""

    def __init__(self, extras: Extras, chosen: Chosen, *, overlay: bool) -> None:
        self.extras, self.chosen = extras, chosen
        kept = range(len(chosen.labels)) if chosen.only is None else chosen.only
        # Of any label a name that is no path, and differs from those of all others.
        self._scores = {f".{quote(chosen.labels[i], safe=' ')}.scores.png": i for i in kept if extras.scores}
        self.endings = [
            *[OVERLAY] * overlay,
            *[PREVIEW] * extras.preview,
            *[CUTOUT] * (chosen.cutout is not None),
            *[POLYGONS] * extras.polygons,
            *self._scores,
        ]
        self.needs_attention = overlay
        self.needs_photo = overlay or extras.preview or chosen.cutout is not None
        self.needs_scores = extras.scores or chosen.cutout is not None

    def settle(self, mask: Mask) -> Mask:
        """Return the mask without small regions, and then without the classes that are not to be kept."""
        from attnimg.images.masks import drop_small, keep_only

        if self.extras.min_area > 1:
            mask = drop_small(mask, self.extras.min_area)
        return mask if self.chosen.only is None else keep_only(mask, self.chosen.only)

    def write(
        self,
        targets: Targets,
        photo: NDArray[np.uint8] | None,
        outcome: Predicted,
        mask: Mask,
        classes: Sequence[SegmentClass],
        areas: Sequence[Area],
    ) -> dict[str, Any]:
        """Write the files, and return the keys of the record that name them. targets: by ending."""
        import numpy as np

        from attnimg.images.draw import draw_overlay
        from attnimg.images.lossless import encode_png
        from attnimg.images.metadata import Metadata
        from attnimg.images.preview import Entry, draw_preview
        from attnimg.images.write import write_bytes, write_image
        from attnimg.tasks.scores import Probabilities

        if OVERLAY in targets and photo is not None and outcome.attention is not None:
            write_image(targets[OVERLAY], draw_overlay(photo, outcome.attention))
        if PREVIEW in targets and photo is not None:
            legend = [Entry(classes[a.id].color, f"{a.label}  {a.fraction:.1%}") for a in areas]
            preview = draw_preview(photo, mask, [c.color for c in classes], legend)
            write_image(targets[PREVIEW], preview)
        if CUTOUT in targets and photo is not None and outcome.scores is not None:
            write_bytes(targets[CUTOUT], self._cut_out(photo, outcome.scores, mask))
        if POLYGONS in targets:
            data = json.dumps(describe_polygons(mask, areas)).encode("ascii")
            write_bytes(targets[POLYGONS], data)
        keys: dict[str, Any] = {KEYS[e]: os.fspath(target.path) for e, target in targets.items() if e in KEYS}
        maps = [(targets[ending], index) for ending, index in self._scores.items() if ending in targets]
        if maps and outcome.scores is not None:
            probabilities = Probabilities(outcome.scores, *mask.shape)
            for target, index in maps:
                codes = np.rint(probabilities.of(index) * np.float32(65535)).astype(np.uint16)
                write_bytes(target, encode_png(codes, None, Metadata()))
            keys["scores"] = [os.fspath(target.path) for target, _ in maps]
        return keys

    def _cut_out(self, photo: NDArray[np.uint8], scores: Scores, mask: Mask) -> bytes:
        import numpy as np

        from attnimg.images.cutout import blur_background, find_alpha
        from attnimg.images.lossless import encode_png
        from attnimg.images.metadata import Metadata
        from attnimg.images.picture import lay_over
        from attnimg.tasks.scores import compare

        chosen = self.chosen.cutout or ()
        share = compare(scores, chosen, *mask.shape)
        cell = max(side / cells for side, cells in zip(mask.shape, scores.shape[1:], strict=True))
        alpha = find_alpha(np.isin(mask, chosen), share, max(1, round(SOFT * cell)))
        if self.extras.background is None:
            return encode_png(photo, alpha, Metadata())
        blurs = self.extras.background == BLUR
        below = blur_background(photo, alpha) if blurs else np.array(self.extras.color(), np.uint8)
        return encode_png(lay_over(photo, alpha, below), None, Metadata())


def describe_polygons(mask: Mask, areas: Iterable[Area]) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection: a MultiPolygon for each class that is there (see `images.outlines.trace`)."""
    from attnimg.images.outlines import trace

    features = [
        {
            "type": "Feature",
            "properties": {"id": area.id, "label": area.label, "pixels": area.pixels, "fraction": area.fraction},
            "geometry": {"type": "MultiPolygon", "coordinates": list(trace(mask == area.id))},
        }
        for area in areas
    ]
    return {"type": "FeatureCollection", "features": features}
