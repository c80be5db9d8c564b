"""Pillow and OpenCV belong to the program that imports this one: only a program of our own sets them up."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import PurePath

import numpy as np
import pytest
from helpers.attack_corpus import encode
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.source import Source
from attnimg.images.backends import pixel_limit
from attnimg.images.read import read

STATE = """
import json, sys, warnings
import cv2, torch
from PIL import Image, PngImagePlugin, TiffImagePlugin

def state():
    dispatch = TiffImagePlugin.ImageFileDirectory_v2._load_dispatch
    return [
        Image.MAX_IMAGE_PIXELS,
        PngImagePlugin.MAX_TEXT_CHUNK,
        {kind: [size, repr(load)] for kind, (size, load) in dispatch.items()},
        cv2.getNumThreads(),
        cv2.utils.logging.getLogLevel(),
        repr(warnings.filters),
    ]

before = state()
"""
IMPORT = """
from pathlib import PurePath
import attnimg, attnimg.images.read, attnimg.models.load
from attnimg.files.source import Source
attnimg.images.read.read(Source("-", PurePath("x"), data=sys.stdin.buffer.read()))
"""
CONFIGURE = """
from attnimg.images.backends import configure
configure()
"""


def run_and_compare(code: str) -> list[bool]:
    """Return for each setting whether the code changes it."""
    code = STATE + code + "print(json.dumps([a != b for a, b in zip(before, state(), strict=True)]))"
    photo = encode(Image.new("RGB", (60, 40)), "TIFF")
    done = subprocess.run([sys.executable, "-c", code], input=photo, capture_output=True, check=True)
    assert done.stderr == b""
    return json.loads(done.stdout)


@pytest.mark.slow
def test_importing_and_reading_change_nothing_of_pillow_opencv_and_warnings() -> None:
    assert run_and_compare(IMPORT) == [False] * 6


@pytest.mark.slow
def test_a_program_of_our_own_sets_them_up() -> None:
    pixels, text, dispatch, threads, level, filters = run_and_compare("cv2.setNumThreads(3)\n" + CONFIGURE)
    assert (pixels, dispatch) == (False, False)
    assert text
    assert threads
    assert level
    assert filters


PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """Have Pillow refuse images of over 2000 pixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    return 1000


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"])
def test_pillows_limit_of_pixels_is_not_ours(format: str, small_limit: int) -> None:
    source = Source("-", PurePath("x"), data=encode(PHOTO, format))
    assert read(source).size == PHOTO.size
    assert small_limit == Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match="--max-pixels") as caught:
        read(source, max_pixels=PHOTO.width * PHOTO.height - 1)
    assert caught.value.kind == "too-large"
    assert small_limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_sixteen_bits_meet_no_limit_of_pillows(small_limit: int) -> None:
    import cv2

    deep = np.random.default_rng(0).integers(0, 65536, (60, 80, 3), np.uint16)
    source = Source("-", PurePath("x"), data=cv2.imencode(".png", deep[..., ::-1])[1].tobytes())
    assert np.array_equal(read(source).pixels, deep)


def test_what_a_gif_claims_beyond_both_limits_is_too_large(small_limit: int) -> None:
    """Its frame is larger than its screen, and Pillow makes room for it before anyone can look at the size."""
    data = bytearray(encode(PHOTO, "GIF"))
    at = data.index(b",\0\0\0\0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    with pytest.raises(ImageError, match="--max-pixels") as caught:
        read(Source("-", PurePath("x"), data=bytes(data)), max_pixels=10_000)
    assert caught.value.kind == "too-large"


def test_a_limit_is_restored_after_an_error(small_limit: int) -> None:
    with suppress(KeyError), pixel_limit(7):
        assert Image.MAX_IMAGE_PIXELS == 7
        raise KeyError
    assert small_limit == Image.MAX_IMAGE_PIXELS
