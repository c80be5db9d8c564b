"""Previews of masks: the classes' colors over the photo, with a legend of the classes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from attnimg.drawing.overlay import OPACITY
from attnimg.drawing.side_by_side import fit_jpeg
from attnimg.images.backends import opencv_memory_errors
from attnimg.labels import VOID, Color
from attnimg.masks.mask import Mask, make_palette

_LINE, _SHARE = 16, 32  # least height of a legend's line in pixels, and the number of lines per shorter side


@dataclass(frozen=True)
class Entry:
    """A line of the legend."""

    color: Color
    text: str


@opencv_memory_errors()
def draw_preview(
    pixels: NDArray[np.uint8], mask: Mask, colors: Sequence[Color], legend: Sequence[Entry]
) -> NDArray[np.uint8]:
    """Return a photo, H x W x 3 RGB, under the colors of its mask, H x W, with the legend to its right.

    Pixels without a class are left as they are. The result is wider than the photo, and higher if the legend is. It is
    scaled down if it exceeds the largest size of JPEG. Raises MemoryError.
    """
    height, width = mask.shape
    panel = _draw_legend(legend, max(_LINE, min(height, width) // _SHARE))
    canvas = np.full((max(height, len(panel)), width + panel.shape[1], 3), 255, np.uint8)
    photo = canvas[:height, :width]
    photo[:] = cv2.addWeighted(make_palette(colors)[mask], OPACITY, pixels, 1 - OPACITY, 0)
    np.copyto(photo, pixels, where=(mask == VOID)[..., None])
    canvas[: len(panel), width:] = panel
    return fit_jpeg(canvas)


def _draw_legend(legend: Sequence[Entry], line: int) -> NDArray[np.uint8]:
    """Return the legend as a panel. line: height of a line in pixels."""
    font = ImageFont.load_default(0.7 * line)
    length = max((font.getlength(entry.text) for entry in legend), default=0)
    panel = Image.new("RGB", (round(length) + 3 * line, (len(legend) + 1) * line), "white")
    draw = ImageDraw.Draw(panel)
    for i, entry in enumerate(legend):
        top = line // 2 + i * line
        draw.rectangle((line // 2, top + line // 8, 3 * line // 2, top + 7 * line // 8), entry.color, "black")
        draw.text((2 * line, top + line // 2), entry.text, "black", font, anchor="lm")
    return np.asarray(panel, np.uint8)
