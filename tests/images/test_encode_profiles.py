"""Pixels go back into the profile that their file carries, as Little CMS would bring them there."""

import io
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.icc_profiles import P3, SRGB, make_cmyk_profile, make_gray_profile, make_profile
from helpers.round_trips import DEEP, HEIGHT, SMALL, WIDTH, again, encoded, open_back, read_back
from PIL import Image

from attnimg.images.metadata import Metadata

SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]])
PROFILES = {"sRGB": SRGB, "wide": make_profile(2.2, P3), "linear": make_profile(1.0, P3)}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_8_bits_go_back_into_the_profile(format: str, name: str) -> None:
    """Little CMS's own way from sRGB, and what was stored is stored again."""
    icc = PROFILES[name]
    data = encoded(SMALL, format=format, metadata=Metadata(icc, None, None), lossless=True)
    stored = np.asarray(open_back(data)).astype(int)
    light = np.where(SMALL / 255 <= 0.04045, SMALL / 255 / 12.92, ((SMALL / 255 + 0.055) / 1.055) ** 2.4)
    if name != "sRGB":
        primaries = np.stack([P3[name] for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        light = (light @ np.linalg.solve(primaries, SRGB_TO_XYZ).T) ** (1 / (2.2 if name == "wide" else 1.0))
        assert np.abs(stored - 255 * light).max() < 2
    picture = read_back(data)
    assert (picture.metadata.icc, picture.metadata.icc_applied, picture.note) == (icc, True, None)
    assert np.abs(picture.pixels.astype(int) - SMALL).mean() < (2 if name == "linear" else 0.5)
    after = open_back(encoded(picture.pixels, format=format, metadata=picture.metadata, lossless=True))
    assert np.abs(np.asarray(after) - stored).max() <= (0 if name == "sRGB" else 2)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bits_go_back_into_the_profile(format: str, name: str) -> None:
    icc = PROFILES[name]
    data = encoded(DEEP, format=format, metadata=Metadata(icc, None, None))
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert name == "sRGB" or np.abs(stored[..., ::-1].astype(int) - DEEP).mean() > 500
    shallow = np.asarray(open_back(encoded(DEEP, format="WEBP", metadata=Metadata(icc, None, None), lossless=True)))
    assert np.abs(stored[..., ::-1] / 257 - shallow).max() < 2  # Little CMS agrees
    picture = read_back(data)
    assert (picture.metadata.icc, picture.note) == (icc, None)
    assert np.abs(picture.pixels.astype(int) - DEEP).max() <= 4
    after = encoded(picture.pixels, format=format, metadata=picture.metadata)
    assert np.abs(cv2.imdecode(np.frombuffer(after, np.uint8), cv2.IMREAD_UNCHANGED).astype(int) - stored).max() <= 2


@pytest.mark.parametrize("gamma", [1.8, 2.2])
@pytest.mark.parametrize(("format", "depth"), [("PNG", 8), ("WEBP", 8), ("TIFF", 16)])
def test_colors_that_srgb_cannot_hold_stay(format: str, depth: int, gamma: float) -> None:
    """Those of a picture that is not changed, to the bit; the others move with their sRGB pixels."""
    wide = cv2.resize(np.random.default_rng(0).integers(0, 2, (9, 6, 3), dtype=np.uint8) * 255, (WIDTH, HEIGHT))
    wide = wide if depth == 8 else wide.astype(np.uint16) * 257
    manner = {"format": format, "lossless": True}
    stored = read_back(encoded(wide, metadata=Metadata(make_profile(gamma, P3), icc_applied=False), **manner))
    assert stored.profile_pixels is not None
    assert np.array_equal(stored.profile_pixels, wide)
    manner["metadata"] = stored.metadata

    def encode_again(pixels: np.ndarray) -> np.ndarray:
        picture = read_back(encoded(pixels, original=replace(stored, profile_pixels=wide.copy()), **manner))
        assert picture.profile_pixels is not None
        return picture.profile_pixels.astype(float) * 255 / np.iinfo(picture.profile_pixels.dtype).max

    before = wide * (255 / np.iinfo(wide.dtype).max)
    lost = read_back(encoded(stored.pixels, **manner)).profile_pixels
    assert lost is not None
    assert np.abs(lost * (255 / np.iinfo(wide.dtype).max) - before).max() > 20
    assert np.array_equal(encode_again(stored.pixels), before)
    darker = stored.pixels - stored.pixels // 64
    assert np.abs(encode_again(darker) - before).max() < 6
    assert encode_again(darker).mean() < before.mean() - 0.5
    assert read_back(encoded(stored.pixels, original=stored, format=format, metadata=Metadata())).profile_pixels is None


@pytest.mark.parametrize("depth", [8, 16])
def test_colors_stay_beside_what_became_white(depth: int) -> None:
    wide = np.zeros((20, 30, 3), np.uint8 if depth == 8 else np.uint16)
    wide[..., 1] = np.iinfo(wide.dtype).max
    alpha = np.full(wide.shape[:2], np.iinfo(wide.dtype).max, wide.dtype)
    alpha[:, :16] = 0
    profile = Metadata(make_profile(2.2, P3), icc_applied=False)
    picture = read_back(encoded(wide, alpha, format="PNG", metadata=profile))
    data = encoded(picture.pixels, picture.alpha, format="JPEG", metadata=picture.metadata, original=picture)
    after = np.asarray(open_back(data), int)
    assert np.abs(after[:, :16] - 255).max() <= 2
    assert np.abs(after[:, 16:] - [0, 255, 0]).max() <= 4


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("depth", [8, 16])
def test_gray_goes_back_into_its_profile(format: str, depth: int) -> None:
    icc = make_gray_profile(1.8)
    gray = np.dstack([(SMALL if depth == 8 else DEEP)[..., 1]] * 3)
    picture = read_back(encoded(gray, format=format, metadata=Metadata(icc, None, None), gray=True))
    assert picture.gray
    assert (picture.metadata.icc, picture.note) == (icc, None)
    assert picture.pixels.dtype == (np.uint8 if depth == 8 or format == "JPEG" else np.uint16)
    expected = gray if picture.pixels.dtype == gray.dtype else gray / 257
    assert np.abs(picture.pixels - expected.astype(float)).max() <= (4 if format == "JPEG" else 2)
    for other in ("WEBP", "BMP"):
        picture = read_back(encoded(gray, format=other, metadata=Metadata(icc, None, None), lossless=True, gray=True))
        assert picture.metadata.icc is None
        assert np.abs(picture.pixels - (gray if depth == 8 else gray / 257)).max() < 0.51


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_stays_cmyk(format: str) -> None:
    icc = make_cmyk_profile()
    gray = np.dstack([SMALL[..., 1]] * 3)
    data = encoded(gray, format=format, metadata=Metadata(icc, None, None))
    assert open_back(data).mode == "CMYK"
    picture = read_back(data)
    assert (picture.metadata.icc, picture.note, picture.gray) == (icc, None, False)
    assert np.abs(picture.pixels.astype(int) - gray).mean() < 4
    assert np.abs(again(picture).pixels.astype(int) - picture.pixels).mean() < 2
    assert open_back(encoded(gray, format="PNG", metadata=picture.metadata)).mode == "RGB"


def test_cmyk_without_a_way_back_becomes_rgb() -> None:
    for icc in (None, make_cmyk_profile(has_return=False)):
        file = io.BytesIO()
        Image.fromarray(SMALL).convert("CMYK").save(file, "TIFF", icc_profile=icc)
        picture = read_back(file.getvalue())
        assert picture.metadata.icc_applied
        after = again(picture)
        assert after.metadata.icc is None
        assert np.array_equal(after.pixels, picture.pixels)


def test_a_profile_that_was_ignored_stays_and_changes_nothing() -> None:
    """At 16 bits, tables cannot be applied: values and profile go out as they came in."""
    icc = make_profile(1.8, P3).replace(b"rTRC", b"xTRC")
    picture = read_back(encoded(DEEP, format="PNG", metadata=Metadata(icc, None, None, icc_applied=False)))
    assert not picture.metadata.icc_applied
    assert "profile" in (picture.note or "")
    after = again(picture)
    assert after.metadata.icc == icc
    assert np.array_equal(after.pixels, DEEP)


@pytest.mark.parametrize("icc", [b"junk" * 40, SRGB[:150], make_cmyk_profile(has_return=False)])
def test_a_profile_that_is_of_no_use_is_dropped(icc: bytes) -> None:
    for applied in (False, True):
        picture = read_back(encoded(SMALL, format="JPEG", metadata=Metadata(icc, None, None, applied)))
        assert (picture.metadata.icc, picture.note) == (None, None)


def test_a_curve_without_an_inverse_leaves_srgb() -> None:
    icc = bytearray(make_profile(2.2, P3))
    at = icc.index(b"curv")
    icc[at : at + 18] = b"curv" + bytes(4) + struct.pack(">I3H", 3, 0, 65535, 9000)
    picture = read_back(encoded(DEEP, format="PNG", metadata=Metadata(bytes(icc), None, None)))
    assert picture.metadata.icc is None
    assert np.array_equal(picture.pixels, DEEP)


def test_a_large_profile_goes_into_several_segments() -> None:
    icc = bytearray(SRGB + bytes(150_000))
    icc[:4] = struct.pack(">I", len(icc))
    assert read_back(encoded(SMALL, format="JPEG", metadata=Metadata(bytes(icc), None, None))).metadata.icc == icc
