"""What is wrong with a file becomes one `ImageError`, and nothing is printed: reading runs beside a progress bar."""

import io
import os
import subprocess
import sys
import zlib
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest
from helpers.containers import chunk, gray_tiff, png
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.source import Source
from attnimg.images.read import read

# pytest shows warnings whatever the filters say; that users see none is tested in a process of its own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

RNG = np.random.default_rng(0)
PHOTO = Image.fromarray(RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8))


def encode(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def deep_png(width: int, height: int, *chunks: bytes) -> bytes:
    rows = b"".join(b"\0" + RNG.bytes(6 * 40) for _ in range(30))
    return png(width, height, zlib.compress(rows), *chunks, bits=16)


def source(data: bytes) -> Source:
    return Source("-", PurePath("stdin"), data=data)


def kind_of(given: Source | bytes, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read(source(given) if isinstance(given, bytes) else given, **options)
    return caught.value.kind


@pytest.mark.parametrize("form", ["JPEG", "MPO", "PNG", "deep PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_a_cut_file_is_damaged(form: str, keep: float, capfd) -> None:
    data = deep_png(40, 30) if form == "deep PNG" else encode(PHOTO, form)
    assert kind_of(data[: int(len(data) * keep)], shortest=10) == "damaged"
    assert capfd.readouterr() == ("", "")


def test_odd_chunks_print_nothing(capfd) -> None:
    for content in (b"x\0\0" + zlib.compress(b"junk"), b"x\0\0junk"):
        picture = read(source(deep_png(40, 30, chunk(b"iCCP", content))))
        assert picture.pixels.dtype == np.uint16
    assert capfd.readouterr() == ("", "")


def test_what_is_no_image_or_not_there(tmp_path: Path) -> None:
    assert kind_of(b"") == "damaged"
    assert kind_of(b"\xff\xd8\xff\xe0" + b"garbage" * 99) == "damaged"
    assert kind_of(b"Dear diary, today I took no photo.") == "unsupported"
    assert kind_of(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "unsupported"
    assert kind_of(Source(str(tmp_path / "gone.jpg"), PurePath("gone.jpg"))) == "missing"
    assert kind_of(Source(str(tmp_path), PurePath("x"))) == "unreadable"


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    small = encode(PHOTO, "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda self: pytest.fail("decoded"))
    assert kind_of(deep_png(40_000, 40_000)) == "too-large"
    assert kind_of(deep_png(8_000, 40_000)) == "too-large"  # between Pillow's warning and its error
    assert kind_of(small, max_pixels=60 * 80 - 1) == "too-large"


def test_what_is_beside_the_pixels_is_refused_with_the_limit_that_it_passed() -> None:
    photo = encode(PHOTO, "JPEG")
    exif = b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)
    other = b"\xff\xe5\xff\xff" + bytes(65_533)
    for segments, limit in ((exif * 33, 2), (exif + other * 513, 32)):
        with pytest.raises(ImageError, match=f"over {limit} MiB") as caught:
            read(source(photo[:2] + segments + photo[2:]))
        assert caught.value.kind == "too-large"


@pytest.mark.slow
def test_pillow_warns_of_nothing_and_torch_is_not_there() -> None:
    code = """if True:
        import sys
        from pathlib import PurePath
        from attnimg.errors import ImageError
        from attnimg.files.source import Source
        from attnimg.images.read import read
        try:
            read(Source("-", PurePath("x"), data=sys.stdin.buffer.read()), max_pixels=3000)
        except ImageError as error:
            print(error.kind, "torch" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], input=encode(PHOTO, "PNG"), capture_output=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (b"too-large False", b"")


def test_memory_that_does_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image) -> None:
        raise MemoryError

    data = encode(PHOTO, "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    assert kind_of(data) == "out-of-memory"


def test_memory_that_does_not_suffice_for_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    resize = cv2.resize
    deep_tiff = cv2.imencode(".tiff", np.zeros((30, 40, 3), np.uint16))[1].tobytes()
    monkeypatch.setattr("cv2.imdecode", lambda data, flags: resize(np.zeros((1, 1)), (2**30, 2**30)))
    assert kind_of(deep_tiff) == "out-of-memory"


def test_readers_share_no_pool_of_opencvs() -> None:
    assert cv2.getNumThreads() == 1


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"garbage!", b"Exif\0\0MM", b"MM\0*\xff"])
def test_broken_exif_harms_no_pixel(form: str, exif: bytes) -> None:
    file = io.BytesIO()
    PHOTO.save(file, form, lossless=True, exif=exif)
    picture = read(source(file.getvalue()))
    assert np.array_equal(picture.pixels, PHOTO)
    assert picture.note == "its EXIF is broken and was ignored"


def test_a_drive_that_fails_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Image.Image) -> None:
        raise OSError(5, "Input/output error")

    data = encode(PHOTO, "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    assert kind_of(data) == "unreadable"


def test_a_pipe_can_be_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, encode(PHOTO, "PNG"))
    os.close(writer)
    picture = read(Source(f"/dev/fd/{reader}", PurePath("x")))
    os.close(reader)
    assert np.array_equal(picture.pixels, PHOTO)


def test_heic_names_the_extra_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"attnimg\[heic\]") as caught:
        read(source(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)))
    assert caught.value.kind == "unsupported"


def test_a_second_header_is_damage() -> None:
    data = deep_png(40, 30)
    assert kind_of(data[:33] + data[8:33] + data[33:]) == "damaged"
    assert kind_of(data[:8] + chunk(b"tEXt", b"a\0b") + data[8:]) == "damaged"


def test_more_pixels_than_there_are_print_nothing(capfd) -> None:
    data = deep_png(40, 30)
    rows = zlib.compress(zlib.decompress(data[41:-16]) + bytes(999))
    picture = read(source(data[:33] + chunk(b"IDAT", rows) + chunk(b"IEND", b"")))
    assert np.array_equal(picture.pixels, read(source(data)).pixels)
    assert capfd.readouterr() == ("", "")


def test_what_should_be_bytes_in_a_tiff_and_is_not_is_left_out() -> None:
    metadata = read(source(gray_tiff((34675, 4, 1, 7), (700, 4, 1, 7), bytes(5000)))).metadata
    assert (metadata.icc, metadata.xmp) == (None, None)


def test_kinds_that_take_more_memory_count_twice() -> None:
    assert read(source(deep_png(40, 30)), max_pixels=2400).size == (40, 30)
    assert kind_of(deep_png(40, 30), max_pixels=2399) == "too-large"
    assert kind_of(encode(PHOTO, "WEBP"), max_pixels=2 * 60 * 80 - 1) == "too-large"
    assert read(source(encode(PHOTO, "JPEG")), max_pixels=60 * 80).size == (80, 60)
