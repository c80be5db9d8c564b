"""Attention overlays, and pictures that must fit into JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from attnimg.drawing.overlay import draw_overlay
from attnimg.drawing.side_by_side import fit_jpeg

PHOTO = cv2.resize(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8), (160, 120))


def gray(photo: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (64, 85), (300, 200)])
def test_a_map_of_any_size_covers_the_photo(shape: tuple[int, int]) -> None:
    overlay = draw_overlay(PHOTO, np.full(shape, 0.5, np.float32))
    assert overlay.shape == PHOTO.shape
    assert overlay.dtype == np.uint8
    assert (overlay.max(-1) > overlay.min(-1)).all()  # colored everywhere


def test_the_scale_is_fixed() -> None:
    flat, half = np.full((8, 8), 0.3, np.float32), np.full((8, 8), 0.3, np.float32)
    half[:, 4:] = 0.9
    assert np.array_equal(draw_overlay(PHOTO, flat)[:, :40], draw_overlay(PHOTO, half)[:, :40])


def test_more_attention_is_brighter() -> None:
    levels = [draw_overlay(PHOTO, np.full((4, 4), a)).mean() for a in np.linspace(0, 1, 11)]
    assert (np.diff(levels) > 0).all()


@pytest.mark.parametrize("level", [0, 0.5, 1])
def test_the_photo_stays_readable(level: float) -> None:
    black_and_white = np.zeros((120, 160, 3), np.uint8)
    black_and_white[:, 80:] = 255
    overlay = draw_overlay(black_and_white, np.full((8, 8), level)).astype(int)
    assert (overlay[:, 80:] - overlay[:, :80]).min() > 100


def test_what_was_not_looked_at_stays_gray_and_does_not_bleed() -> None:
    attention = np.full((64, 64), 0.8, np.float32)
    attention[:, :16] = np.nan
    overlay = draw_overlay(PHOTO, attention)
    assert np.array_equal(overlay[:, :39], gray(PHOTO)[:, :39])
    assert np.abs(overlay[:, 40:].astype(int) - draw_overlay(PHOTO, np.full((64, 64), 0.8))[:, 40:]).max() <= 1
    assert np.array_equal(draw_overlay(PHOTO, np.full((3, 3), np.nan)), gray(PHOTO))


def test_enlarging_overshoots_no_end_of_the_scale() -> None:
    steps = np.kron([[0, 1], [1, 0]], np.ones((4, 4)))
    white = np.full((120, 160, 3), 255, np.uint8)
    ends = draw_overlay(white, np.zeros((1, 1)))[0, 0], draw_overlay(white, np.ones((1, 1)))[0, 0]
    overlay = draw_overlay(white, steps)
    assert overlay[..., 1].min() == ends[0][1]
    assert overlay[..., 1].max() == ends[1][1]


def test_16_bits_are_drawn_as_8() -> None:
    attention = np.full((4, 4), 0.5)
    assert np.array_equal(draw_overlay(PHOTO.astype(np.uint16) * 257, attention), draw_overlay(PHOTO, attention))


def test_memory_that_does_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    resize = cv2.resize
    monkeypatch.setattr("cv2.resize", lambda grid, size, **options: resize(grid, (2**30, 2**30), **options))
    with pytest.raises(MemoryError):
        draw_overlay(PHOTO, np.full((4, 4), 0.5))


@pytest.mark.parametrize(("size", "fitting"), [((65_500, 3), (65_500, 3)), ((131_000, 5), (65_500, 2))])
def test_pictures_fit_into_jpeg(size: tuple[int, int], fitting: tuple[int, int]) -> None:
    for width, height in (size, size[::-1]):
        picture = np.full((height, width, 3), 60, np.uint8)
        fit = fit_jpeg(picture)
        assert (fit.shape[1::-1], fit.max()) == (fitting if width > height else fitting[::-1], 60)
        assert (fit is picture) == (size == fitting)
