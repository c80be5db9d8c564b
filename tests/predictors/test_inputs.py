"""What predictors take from Python for pictures, and what they say of the rest."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.by_color import by_color
from helpers.tiny_nets import random_classifier, shared_enhancer
from PIL import Image

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
PREDICTORS = pytest.mark.parametrize(
    "build", [cache(random_classifier), shared_enhancer, cache(by_color)], ids=["classify", "enhance", "segment"]
)


@PREDICTORS
@pytest.mark.parametrize(
    ("odd", "error", "said"),
    [
        (RGB / 255, TypeError, r"float64.*255 \* array"),
        (RGB.astype(np.float32), TypeError, "uint8.*uint16.*float32"),
        (RGB.astype(np.int64), TypeError, "int64"),
        (RGB > 100, TypeError, "bool"),
        (RGB.astype(">u2"), TypeError, ">u2"),
        (RGB[..., 0], ValueError, r"H x W x 3.*\(40, 56\).*dstack"),
        (RGB[..., :1], ValueError, r"\(40, 56, 1\)"),
        (np.dstack([RGB, RGB[..., 0]]), ValueError, r"\(40, 56, 4\).*RGBA"),
        (RGB.transpose(2, 0, 1), ValueError, r"\(3, 40, 56\)"),
        (RGB[None], ValueError, r"\(1, 40, 56, 3\)"),
        (RGB[:0], ValueError, r"\(0, 56, 3\)"),
        (RGB[:, :0], ValueError, r"\(40, 0, 3\)"),
        (np.uint8(3), TypeError, "not uint8"),
        (None, TypeError, "not NoneType"),
        (3, TypeError, "not int"),
        ("a.jpg", TypeError, r"PIL\.Image\.open"),
        (b"a.jpg", TypeError, r"PIL\.Image\.open"),
        (Path("a.jpg"), TypeError, r"PIL\.Image\.open"),
        (Image.new("RGB", (0, 4)), ValueError, "must not be empty"),
        (Image.new("I;16", (4, 4)), TypeError, "mode I;16.*uint16"),
        (Image.new("F", (4, 4)), TypeError, "mode F"),
    ],
)
def test_what_is_no_picture_is_refused_alone_and_in_lists(
    build: Any, odd: Any, error: type[Exception], said: str
) -> None:
    predictor = build()
    for images in (odd, [RGB, odd]):
        with pytest.raises(error, match=said):
            predictor(images)


@PREDICTORS
def test_a_picture_is_taken_upright(build: Any) -> None:
    predictor, turned = build(), Image.fromarray(np.ascontiguousarray(np.rot90(RGB)))
    turned.getexif()[0x0112] = 6
    one, other = (np.asarray(getattr(result, "pixels", result), object) for result in predictor([RGB, turned]))
    assert np.array_equal(one, other)


@PREDICTORS
def test_views_of_arrays_are_taken_as_copies_would_be(build: Any) -> None:
    predictor = build()
    for view in (
        RGB[:, ::-1],
        RGB[::2, ::3],
        RGB[..., ::-1],
        RGB.transpose(1, 0, 2),
        np.broadcast_to(RGB[:1], (9, 56, 3)),
    ):
        assert np.array_equal(predictor(view), predictor(view.copy()))


@PREDICTORS
def test_pil_images_of_8_bits_are_seen_as_rgb(build: Any) -> None:
    predictor, image = build(), Image.fromarray(RGB)
    for mode in ("L", "P", "RGBA", "CMYK", "1"):
        converted = image.convert(mode)
        assert np.array_equal(predictor(converted), predictor(np.asarray(converted.convert("RGB"))))


@PREDICTORS
def test_a_list_is_its_pictures(build: Any) -> None:
    predictor = build()
    assert predictor([]) == []
    assert len(predictor((RGB, Image.fromarray(RGB)))) == 2
