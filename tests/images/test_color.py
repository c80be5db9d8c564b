"""Profiles, and depths that libraries differ on: checked against the formulas, on files made byte by byte."""

import io
import struct
import zlib
from pathlib import PurePath

import cv2
import numpy as np
import pytest
from helpers.containers import icc_chunk, matrix_profile, png
from helpers.icc_profiles import SRGB, make_gray_profile, make_profile
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.source import Source
from attnimg.images.decoded import DecodedImage
from attnimg.images.read import read

RNG = np.random.default_rng(0)
RGB = cv2.resize(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)
DEEP = RNG.integers(0, 65536, (30, 40, 4), dtype=np.uint16)


def read_bytes(data: bytes) -> DecodedImage:
    return read(Source("-", PurePath("stdin"), data=data))


def png8(pixels: np.ndarray, icc: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", icc_profile=icc)
    return file.getvalue()


def png16(pixels: np.ndarray, color_type: int, icc: bytes) -> bytes:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return png(pixels.shape[1], pixels.shape[0], zlib.compress(rows), icc_chunk(icc), bits=16, color=color_type)


def tiff(pixels: np.ndarray, photometric: int, tags: dict[int, int], bits: int = 16) -> bytes:
    """An uncompressed little-endian TIFF of one strip; `tags` are shorts."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data, end = pixels.tobytes(), 8 + pixels.nbytes
    shorts = {256: pixels.shape[1], 257: pixels.shape[0], 258: bits, 259: 1, 262: photometric}
    shorts |= {277: channels, 278: pixels.shape[0], **tags}
    entries = {tag: struct.pack("<HHII", tag, 3, 1, value) for tag, value in shorts.items()}
    if channels > 1:
        entries[258] = struct.pack("<HHII", 258, 3, channels, end)
    entries[273], entries[279] = struct.pack("<HHII", 273, 4, 1, 8), struct.pack("<HHII", 279, 4, 1, len(data))
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    depths = struct.pack(f"<{channels}H", *[bits] * channels)
    return b"II*\0" + struct.pack("<I", end + len(depths)) + data + depths + directory


def profile(gamma: float, swap: bool = False) -> bytes:
    """The profile of sRGB, with a gamma for its curves and perhaps red and blue exchanged; its name stays sRGB."""
    icc = bytearray(make_profile(gamma, {}))
    if swap:
        red, blue = icc.index(b"rXYZ"), icc.index(b"bXYZ")
        icc[red : red + 4], icc[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(icc)


def encode_srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_8_bits_go_to_srgb(gamma: float, swap: bool) -> None:
    icc = profile(gamma, swap)
    picture = read_bytes(png8(RGB, icc))
    expected = 255 * encode_srgb((RGB / 255) ** gamma)[..., :: -1 if swap else 1]
    assert np.abs(picture.pixels - expected).max() < 2.5
    assert picture.metadata.icc == icc


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_16_bits_go_to_srgb_at_16_bits(gamma: float, swap: bool) -> None:
    picture = read_bytes(png16(DEEP[..., :3], 2, profile(gamma, swap)))
    expected = 65535 * encode_srgb((DEEP[..., :3] / 65535) ** gamma)[..., :: -1 if swap else 1]
    assert picture.note is None
    assert np.abs(picture.pixels - expected).max() < 200  # 0.3 %, as two roundings of sRGB's primaries are in use


def test_16_bits_agree_with_little_cms() -> None:
    """On a real working space: Adobe RGB (1998)'s primaries, adapted to D50, and its gamma."""
    primaries = {b"rXYZ": (0.60974, 0.31111, 0.01947), b"gXYZ": (0.20528, 0.62567, 0.06087)}
    icc = make_profile(563 / 256, primaries | {b"bXYZ": (0.14919, 0.06322, 0.74457)})
    shallow = read_bytes(png8(RGB, icc)).pixels.astype(float)
    deep = read_bytes(png16(RGB.astype(np.uint16) * 257, 2, icc)).pixels / 257
    assert np.abs(shallow - RGB).mean() > 3
    assert np.abs(shallow - deep).max() < 2


def test_srgb_stays_as_it_is() -> None:
    assert np.array_equal(read_bytes(png8(RGB, SRGB)).pixels, RGB)
    assert np.array_equal(read_bytes(png16(DEEP[..., :3], 2, SRGB)).pixels, DEEP[..., :3])


def test_gray_of_16_bits_follows_its_profile() -> None:
    picture = read_bytes(png16(DEEP[..., 0], 0, make_gray_profile(1.0)))
    expected = 65535 * encode_srgb(DEEP[..., 0] / 65535)
    assert np.abs(picture.pixels[..., 1] - expected).max() < 200  # as above


def test_a_profile_that_cannot_be_used_is_noted() -> None:
    cmyk = bytearray(SRGB)
    cmyk[16:20] = b"CMYK"
    for icc in (b"junk" * 50, SRGB[:150], bytes(cmyk)):
        shallow, deep = read_bytes(png8(RGB, icc)), read_bytes(png16(DEEP[..., :3], 2, icc))
        assert "profile" in (shallow.note or "")
        assert "profile" in (deep.note or "")
        assert np.array_equal(shallow.pixels, RGB)
        assert np.array_equal(deep.pixels, DEEP[..., :3])


def test_a_tiff_whose_zero_is_white() -> None:
    assert np.array_equal(read_bytes(tiff(DEEP[..., 0], 0, {})).pixels[..., 0], 65535 - DEEP[..., 0])


def test_premultiplied_alpha_is_divided_out() -> None:
    picture = read_bytes(tiff(np.full((4, 4, 4), 0x8000, np.uint16), 2, {338: 1}))
    assert picture.alpha is not None
    assert picture.pixels.min() >= 254
    assert abs(int(picture.alpha[0, 0]) - 128) <= 1
    assert picture.note == "its 16 bits per color were read as 8"


def test_inks_of_16_bits_are_read_at_8_and_told_of() -> None:
    picture = read_bytes(tiff(np.full((4, 4, 4), 0x8000, np.uint16), 5, {}))
    assert (picture.pixels.dtype, picture.note) == (np.uint8, "its 16 bits per color were read as 8")


@pytest.mark.parametrize(("extra", "has_alpha"), [(0, False), (2, True)])
def test_a_fourth_channel_is_alpha_only_when_it_says_so(extra: int, has_alpha: bool) -> None:
    picture = read_bytes(tiff(DEEP, 2, {338: extra}))
    assert np.array_equal(picture.pixels, DEEP[..., :3])
    assert (picture.alpha is not None) == has_alpha


def test_other_depths_are_refused_instead_of_misread() -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(file, "TIFF")
    packed = tiff(np.zeros((30, 60), np.uint8), 1, {256: 40}, bits=12)
    for data in (packed, file.getvalue()):
        with pytest.raises(ImageError) as caught:
            read_bytes(data)
        assert caught.value.kind == "unsupported"


@pytest.mark.parametrize(
    "numbers", [(-1.0,), (32767.0, 32767.0, 32767.0, 0, 0, 0, 0), (0.5, -1.0, 0, 0, 0.5, 30000.0, 0)]
)
def test_curves_that_are_none_are_told_of_and_warn_of_nothing(numbers: tuple[float, ...], recwarn) -> None:
    kind = {1: 0, 7: 4}[len(numbers)]
    curve = b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *(int(n * 65536) for n in numbers))
    picture = read_bytes(png16(DEEP[..., :3], 2, matrix_profile(curve)))
    assert np.array_equal(picture.pixels, DEEP[..., :3])
    assert picture.note == "its color profile was ignored, for it holds no curves and matrix"
    assert not recwarn.list


def test_a_huge_profile_is_told_of() -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "TIFF", icc_profile=bytes(1 << 25))
    assert read_bytes(file.getvalue()).note == "its color profile was ignored, for it is larger than profiles are"
