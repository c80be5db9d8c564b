"""Previews of masks: the photo under the classes' colors, and a legend."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from attnimg.drawing.preview import Entry, draw_preview
from attnimg.labels import VOID

COLORS = [(0, 0, 255), (0, 255, 0), (255, 0, 0)]


def test_a_preview_fits_into_jpeg() -> None:
    photo, legend = np.full((16, 65_500, 3), 60, np.uint8), [Entry((255, 0, 0), "sky  100.0%")]
    preview = draw_preview(photo, np.zeros((16, 65_500), np.uint8), [(255, 0, 0)], legend)
    assert preview.shape[1] == 65_500
    assert cv2.imencode(".jpg", preview)[0]


@pytest.mark.parametrize("size", [(1, 1), (7, 900), (900, 7), (300, 400)], ids=str)
def test_a_preview_shows_photo_and_legend(size: tuple[int, int]) -> None:
    photo = np.full((*size, 3), 60, np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[:, -1:] = VOID
    legend = [Entry(COLORS[0], "sky  99.0%"), Entry(COLORS[1], "tree  1.0%")]
    preview = draw_preview(photo, mask, COLORS, legend)
    assert preview.shape[0] >= size[0]
    assert (preview[: size[0], : size[1]][mask == VOID] == 60).all()
    drawn = preview[: size[0], : size[1]][mask == 0]
    assert (drawn[:, 2] > drawn[:, 0]).all()
    panel = preview[:, size[1] :].reshape(-1, 3)
    assert all((panel == color).all(1).any() for color in COLORS[:2])
    assert not (panel == COLORS[2]).all(1).any()
