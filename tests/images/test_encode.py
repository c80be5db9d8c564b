"""Round trips of pixels: what was encoded is read back, by this program's reader and by Pillow."""

import io
import re
import threading
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.icc_profiles import P3, SRGB, make_profile
from helpers.round_trips import (
    ALPHA,
    DEEP,
    DEEP_ALPHA,
    HEIGHT,
    SMALL,
    WIDTH,
    WRITTEN,
    XMP,
    encoded,
    make_exif,
    open_back,
    read_back,
)
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.formats import FORMATS, extension_of, format_of, output_format
from attnimg.files.outputs import Output
from attnimg.files.write import write_bytes
from attnimg.images.metadata import Metadata


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_formats_keep_every_pixel(format: str, transparent: bool, gray: bool) -> None:
    pixels = np.dstack([SMALL[..., 0]] * 3) if gray else SMALL
    before = pixels.copy()
    alpha = ALPHA if transparent else None
    picture = read_back(encoded(pixels, alpha, format=format, lossless=True, gray=gray))
    assert np.array_equal(picture.pixels, pixels)
    assert np.array_equal(pixels, before)
    assert (picture.alpha is None) if alpha is None else np.array_equal(picture.alpha, alpha)
    assert (picture.format, picture.lossless, picture.note) == (format, True, None)
    assert picture.gray == (gray and format != "WEBP" and not (format == "BMP" and transparent))


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_kept(format: str, transparent: bool, gray: bool) -> None:
    pixels = np.dstack([DEEP[..., 0]] * 3) if gray else DEEP
    data = encoded(pixels, DEEP_ALPHA if transparent else None, format=format, gray=gray)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    assert np.array_equal(back if back.ndim == 2 else back[..., 2::-1], pixels[..., 0] if back.ndim == 2 else pixels)
    assert not transparent or np.array_equal(back[..., 3], DEEP_ALPHA)
    picture = read_back(data)
    assert picture.gray == (gray and not (format == "TIFF" and transparent))
    assert np.array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "BMP"])
def test_other_formats_get_sixteen_bits_rounded(format: str) -> None:
    picture = read_back(encoded(DEEP, format=format))
    assert picture.pixels.dtype == np.uint8
    assert picture.lossless == (format == "BMP")
    assert np.abs(picture.pixels - DEEP / 257).max() < (0.51 if format == "BMP" else 16)


@pytest.mark.parametrize("format", ["WEBP", "AVIF"])
def test_lossy_formats_keep_alpha(format: str) -> None:
    smooth = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    picture = read_back(encoded(SMALL, smooth, format=format))
    assert np.abs(picture.alpha.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize("depth", [8, 16])
def test_jpeg_lays_on_white(depth: int) -> None:
    pixels, alpha = (SMALL, ALPHA) if depth == 8 else (DEEP, DEEP_ALPHA)
    clear = np.zeros_like(alpha)
    assert read_back(encoded(pixels, clear, format="JPEG")).pixels.min() >= 254


def test_jpeg_keeps_colors_whole_and_gray_gray() -> None:
    image = open_back(encoded(SMALL, format="JPEG"))
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    assert np.abs(np.asarray(image).astype(int) - SMALL).mean() < 1
    assert open_back(encoded(SMALL, format="JPEG", gray=True)).mode == "L"
    sizes = [len(encoded(SMALL, format="JPEG", quality=q)) for q in (50, 95)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
@pytest.mark.parametrize("extras", [{}, {"icc_profile": SRGB, "exif": make_exif(1)}])
@pytest.mark.parametrize("frames", [1, 2])
def test_whether_a_webp_is_lossless_is_seen(options: dict, extras: dict, frames: int) -> None:
    file = io.BytesIO()
    images = [Image.fromarray(np.dstack([SMALL, ALPHA])), Image.fromarray(np.dstack([255 - SMALL, ALPHA]))][:frames]
    images[0].save(file, "WEBP", save_all=frames > 1, append_images=images[1:], **options, **extras)
    assert read_back(file.getvalue()).lossless == ("lossless" in options)


def test_how_a_file_was_is_seen() -> None:
    seen = {}
    for mode, container in (("1", "PNG"), ("L", "JPEG"), ("LA", "PNG"), ("P", "GIF"), ("RGB", "AVIF"), ("RGB", "TIFF")):
        file = io.BytesIO()
        Image.fromarray(SMALL).convert(mode).save(file, container)
        picture = read_back(file.getvalue())
        seen[mode, container] = (picture.lossless, picture.gray)
    assert seen == {
        ("1", "PNG"): (True, True),
        ("L", "JPEG"): (False, True),
        ("LA", "PNG"): (True, True),
        ("P", "GIF"): (True, False),
        ("RGB", "AVIF"): (False, False),
        ("RGB", "TIFF"): (True, False),
    }


@pytest.mark.parametrize(
    ("format", "side"), [("JPEG", 65_501), ("WEBP", 16_384), ("AVIF", 32_769), ("PNG", 1_000_001), ("TIFF", 0)]
)
def test_sides_that_a_format_does_not_take(format: str, side: int) -> None:
    with pytest.raises(ImageError, match=rf"has {side} x 1 pixels.*convert it") as caught:
        encoded(np.zeros((1, side, 3), np.uint8), format=format)
    assert caught.value.kind == "write-failed"
    if side:
        data = encoded(np.zeros((1, side - 1, 3), np.uint8), format=format)
        assert read_back(data).size == (side - 1, 1)


def test_what_an_encoder_raises_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cv2.imencode", lambda *args: (False, None))
        with pytest.raises(ImageError, match=r"as JPEG: it was refused\.") as caught:
            encoded(SMALL, format="JPEG")
    assert caught.value.kind == "write-failed"

    def fail(*args: object) -> None:
        raise cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes")

    monkeypatch.setattr("cv2.imencode", fail)
    with pytest.raises(MemoryError):
        encoded(SMALL, format="JPEG")


@pytest.mark.parametrize(("format", "most"), [("JPEG", 2.2), ("PNG", 0.7), ("TIFF", 0.7)])
def test_memory_is_bounded(format: str, most: float) -> None:
    """In copies of the picture, what is encoded included: flat here, so that it is next to nothing."""
    pixels = np.full((3000, 1000, 3), 90, np.uint8)
    tracemalloc.start()
    encoded(pixels, format=format)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * pixels.nbytes


def test_writers_can_be_threads() -> None:
    found: list[bool] = []
    metadata = Metadata(make_profile(2.2, P3), make_exif(), XMP)

    def work() -> None:
        data = encoded(SMALL, format="PNG", metadata=metadata)
        found.append(np.abs(read_back(data).pixels.astype(int) - SMALL).mean() < 0.5)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_extensions() -> None:
    assert all(format_of(f"x/photo{extension}") == name for name in WRITTEN for extension in FORMATS[name].extensions)
    assert format_of(Path("a.b.JPG")) == "JPEG"
    assert [format_of(name) for name in ("a.gif", "a", ".png", "a.txt", "")] == [None] * 5
    assert extension_of("JPEG", "x/a.JPEG") == ".JPEG"
    assert extension_of("JPEG", "a.mpo") == ".jpg"
    assert extension_of("PNG", "a.gif") == ".png"
    assert extension_of("TIFF") == ".tif"
    assert [output_format(format) for format in ("GIF", "JPEG", "AVIF")] == ["PNG", "JPEG", "AVIF"]


def test_the_time_of_modification_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    write_bytes(Output(tmp_path / "a.png", replace=True), b"new", modified=1_234_567_890_123_456_789)
    assert (tmp_path / "a.png").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert re.fullmatch(r"a\.png", " ".join(path.name for path in tmp_path.iterdir()))
