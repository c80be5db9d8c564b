"""The files next to each mask: overlay, preview, cut-out, polygons, score maps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnimg.drawing.cutout import blur_background, find_alpha
from attnimg.drawing.overlay import draw_overlay
from attnimg.drawing.preview import Entry, draw_preview
from attnimg.drawing.write import write_drawing
from attnimg.files.outputs import Outputs
from attnimg.files.write import write_bytes
from attnimg.images.lossless import encode_png
from attnimg.images.metadata import Metadata
from attnimg.images.pixels import alpha_blend
from attnimg.jobs.segment.names import ClassFilter
from attnimg.jobs.segment.options import BLUR, MaskOptions
from attnimg.labels import SegmentClass
from attnimg.masks.mask import Mask, keep_only
from attnimg.masks.polygons import trace
from attnimg.masks.regions import drop_small
from attnimg.predictors.scores import Probabilities, Scores, foreground_probability
from attnimg.predictors.segment import Predicted
from attnimg.records import Area

SOFT = 2  # cells of the net's grid on both sides of a cut-out's edge


class MaskFiles:
    """Postprocesses masks as the options ask, and writes the files next to them; for any thread.

    extras: the files' endings by key, as of `names.choose_extras`.
    """

    def __init__(self, options: MaskOptions, classes: ClassFilter, extras: Mapping[str, str]) -> None:
        self.options, self.classes = options, classes
        self.needs_attention = "overlay" in extras
        self.needs_photo = not extras.keys().isdisjoint(("overlay", "preview", "cutout"))
        self.needs_scores = options.scores or classes.cutout is not None

    def postprocess(self, mask: Mask) -> Mask:
        """Return the mask without small regions, and then without the classes that are not kept."""
        if self.options.min_area > 1:
            mask = drop_small(mask, self.options.min_area)
        return mask if self.classes.only is None else keep_only(mask, self.classes.only)

    def write(
        self,
        outputs: Outputs,
        photo: NDArray[np.uint8] | None,
        outcome: Predicted,
        mask: Mask,
        classes: Sequence[SegmentClass],
        areas: Sequence[Area],
    ) -> dict[str, Any]:
        """Write the files, and return the keys of the record that name them."""
        if "overlay" in outputs and photo is not None and outcome.attention is not None:
            write_drawing(outputs["overlay"], draw_overlay(photo, outcome.attention))
        if "preview" in outputs and photo is not None:
            legend = [Entry(classes[a.id].color, f"{a.label}  {a.fraction:.1%}") for a in areas]
            write_drawing(outputs["preview"], draw_preview(photo, mask, [c.color for c in classes], legend))
        if "cutout" in outputs and photo is not None and outcome.scores is not None:
            write_bytes(outputs["cutout"], self._cut_out(photo, outcome.scores, mask))
        if "polygons" in outputs:
            write_bytes(outputs["polygons"], json.dumps(describe_polygons(mask, areas)).encode("ascii"))
        scores = [key for key in outputs if key.startswith("scores:")]
        keys: dict[str, Any] = {
            key: os.fspath(output.path) for key, output in outputs.items() if key not in ("output", *scores)
        }
        if scores and outcome.scores is not None:
            probabilities = Probabilities(outcome.scores, *mask.shape)
            for key in scores:
                share = probabilities.class_map(int(key.removeprefix("scores:")))
                codes = np.rint(share * np.float32(65535)).astype(np.uint16)
                write_bytes(outputs[key], encode_png(codes, None, Metadata()))
            keys["scores"] = [os.fspath(outputs[key].path) for key in scores]
        return keys

    def _cut_out(self, photo: NDArray[np.uint8], scores: Scores, mask: Mask) -> bytes:
        chosen = self.classes.cutout or ()
        share = foreground_probability(scores, chosen, *mask.shape)
        cell = max(side / cells for side, cells in zip(mask.shape, scores.shape[1:], strict=True))
        alpha = find_alpha(np.isin(mask, chosen), share, max(1, round(SOFT * cell)))
        if self.options.background is None:
            return encode_png(photo, alpha, Metadata())
        blurs = self.options.background == BLUR
        below = blur_background(photo, alpha) if blurs else np.array(self.options.color(), np.uint8)
        return encode_png(alpha_blend(photo, alpha, below), None, Metadata())


def describe_polygons(mask: Mask, areas: Iterable[Area]) -> dict[str, Any]:
    """Return a GeoJSON FeatureCollection: a MultiPolygon for each class that is present, see `polygons.trace`."""
    features = [
        {
            "type": "Feature",
            "properties": {"id": area.id, "label": area.label, "pixels": area.pixels, "fraction": area.fraction},
            "geometry": {"type": "MultiPolygon", "coordinates": list(trace(mask == area.id))},
        }
        for area in areas
    ]
    return {"type": "FeatureCollection", "features": features}
