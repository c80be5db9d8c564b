"""Masks as files, without small regions, as polygons and run lengths."""

from __future__ import annotations

import io

import numpy as np
import pytest
from helpers.fill import fill
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from attnimg.labels import VOID
from attnimg.masks.mask import encode_mask, keep_only
from attnimg.masks.polygons import Ring, trace
from attnimg.masks.regions import drop_small, find_regions
from attnimg.masks.rle import encode_runs

COLORS = [(0, 0, 255), (0, 255, 0), (255, 0, 0)]
SEEDS = range(40)


def random_inside(seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    return rng.random(rng.integers(1, 14, 2)) < rng.random()


def area(ring: Ring) -> float:
    (x, y), (x2, y2) = np.array(ring[:-1]).T, np.array(ring[1:]).T
    return float((x * y2 - x2 * y).sum() / 2)


def test_a_mask_is_a_palette_png_of_256_entries() -> None:
    mask = np.array([[0, 1, 2, VOID]], np.uint8)
    image = Image.open(io.BytesIO(encode_mask(mask, COLORS)))
    palette = image.getpalette() or []
    assert (image.format, image.mode, len(palette)) == ("PNG", "P", 768)
    assert np.array_equal(np.asarray(image), mask)
    assert palette[:9] == [value for color in COLORS for value in color]
    assert palette[-3:] == [0, 0, 0]


def test_classes_that_are_not_kept_become_void() -> None:
    mask = np.array([[0, 1, 2, VOID]], np.uint8)
    assert keep_only(mask, [2, 0]).tolist() == [[0, VOID, 2, VOID]]


def test_a_small_region_goes_to_the_one_that_borders_on_it_most() -> None:
    mask = np.zeros((8, 9), np.uint8)
    mask[:, 5:] = 1
    mask[2:5, 4:6] = 2  # three sides of each in 0 and 1
    mask[2, 6] = 2  # and now most in 1
    expected = mask.copy()
    expected[mask == 2] = 1
    assert np.array_equal(drop_small(mask, 7), mask)
    assert np.array_equal(drop_small(mask, 8), expected)


def test_regions_within_small_regions_go_outwards() -> None:
    y, x = np.mgrid[:15, :15]
    rings = np.maximum(abs(y - 7), abs(x - 7)).clip(max=3).astype(np.uint8)
    assert not (drop_small(rings, 30) != 3).any()


def test_corners_do_not_connect_regions() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 2:4] = mask[4:6, 4:6] = 1
    assert drop_small(mask, 4).sum() == 8
    assert drop_small(mask, 5).sum() == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_no_small_region_stays_but_the_largest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, 3, rng.integers(1, 14, 2)).astype(np.uint8)
    least = int(rng.integers(1, 12))
    most = find_regions(mask)[1].max()
    assert find_regions(drop_small(mask, least))[1].min() >= min(least, most)


@pytest.mark.parametrize("seed", SEEDS)
def test_polygons_cover_just_the_pixels_inside(seed: int) -> None:
    inside = random_inside(seed)
    polygons = list(trace(inside))
    assert np.array_equal(fill(polygons, inside.shape), inside)
    for polygon in polygons:
        for i, ring in enumerate(polygon):
            assert (area(ring) > 0) == (i == 0), "holes run the other way"
            steps = np.diff(ring, axis=0)
            assert ring[0] == ring[-1]
            assert len({tuple(corner) for corner in ring}) == len(ring) - 1, "no ring touches itself"
            assert ((steps != 0).sum(1) == 1).all()
            assert not (steps[:-1] * steps[1:]).any(), "every corner is one"


def test_holes_belong_to_their_polygon() -> None:
    inside = np.ones((9, 20), bool)
    inside[:, 10] = False
    inside[2:4, 2:4] = inside[6, 6] = False
    inside[6, 15] = False
    shapes = sorted([sorted(area(ring) for ring in polygon) for polygon in trace(inside)])
    assert shapes == [[-4, -1, 90], [-1, 81]]


@pytest.mark.parametrize("seed", SEEDS)
def test_pycocotools_decodes_the_very_mask(seed: int) -> None:
    inside = random_inside(seed)
    runs = {"size": list(inside.shape), "counts": encode_runs(inside)}
    assert np.array_equal(coco.decode(runs), inside)
    assert coco.area(runs) == inside.sum()


def test_long_runs_take_several_characters() -> None:
    inside = np.zeros((700, 900), bool)
    inside[300:, 10:800] = True
    inside[:, 850:] = True
    assert np.array_equal(coco.decode({"size": [700, 900], "counts": encode_runs(inside)}), inside)
