import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest
from helpers.containers import chunk
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.source import Probe, Source
from attnimg.images.decoded import DecodedImage
from attnimg.images.metadata import Metadata
from attnimg.images.probe import probe
from attnimg.images.read import read

LOSSLESS = ["PNG", "TIFF", "BMP", "WEBP"]


def photo(width: int = 96, height: int = 64) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def encode(image: Image.Image, container: str, **options) -> bytes:
    if container == "WEBP":
        options = {"lossless": True, "exact": True, **options}
    stream = io.BytesIO()
    image.save(stream, container, **options)
    return stream.getvalue()


def deep() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 65536, (40, 60, 3), dtype=np.uint16)


def encode_deep(pixels: np.ndarray, extension: str) -> bytes:
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(extension, pixels)[1].tobytes()


def deep_tiff(pixels: np.ndarray, orientation: int) -> bytes:
    """No library at hand writes 16-bit RGB with an orientation."""
    height, width, channels = pixels.shape
    after = 8 + 2 + 12 * 10 + 4
    values = [(256, width), (257, height), (258, None), (259, 1), (262, 2), (273, after + 2 * channels)]
    values += [(274, orientation), (277, channels), (278, height), (279, pixels.nbytes)]
    entries = [
        struct.pack("<HHII", tag, 3, channels, after) if value is None else struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in values
    ]
    depths = struct.pack(f"<{channels}H", *[16] * channels)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 10) + b"".join(entries) + bytes(4) + depths + pixels.tobytes()


def read_bytes(data: bytes, **options) -> DecodedImage:
    return read(Source("-", PurePath("stdin"), data=data), **options)


def kind_of(data: bytes, **options) -> str:
    with pytest.raises(ImageError) as caught:
        read_bytes(data, **options)
    assert caught.value.message.endswith(".")
    return caught.value.kind


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Upright, by numpy: an independent way to EXIF's eight cases."""
    ways = [
        lambda p: p,
        lambda p: p[:, ::-1],
        lambda p: p[::-1, ::-1],
        lambda p: p[::-1],
        lambda p: p.swapaxes(0, 1),
        lambda p: np.rot90(p, -1),
        lambda p: p.swapaxes(0, 1)[::-1, ::-1],
        lambda p: np.rot90(p, 1),
    ]
    return ways[orientation - 1](pixels)


@pytest.mark.parametrize("container", LOSSLESS)
def test_lossless_containers_keep_every_pixel(container: str) -> None:
    picture = read_bytes(encode(photo(), container))
    assert np.array_equal(picture.pixels, np.asarray(photo()))
    assert (picture.format, picture.size, picture.alpha, picture.note) == (container, (96, 64), None, None)
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize("container", ["JPEG", "AVIF", "HEIF", "GIF"])
def test_lossy_containers_come_close(container: str) -> None:
    picture = read_bytes(encode(photo(), container, quality=95))
    assert picture.format == container
    assert np.abs(picture.pixels.astype(int) - np.asarray(photo())).mean() < 12


@pytest.mark.parametrize("mark", [{254: 1}, {50706: b"\1\4\0\0"}, b"CR"])
def test_the_preview_in_a_raw_file_is_not_taken_for_the_photo(mark: dict[int, int | bytes] | bytes) -> None:
    tags = mark if isinstance(mark, dict) else {}
    data = bytearray(encode(photo(), "TIFF", tiffinfo=tags, compression="tiff_lzw"))
    assert read_bytes(encode(photo(), "TIFF", compression="tiff_lzw")).format == "TIFF"
    if isinstance(mark, bytes):
        data[8:10] = mark
    with pytest.raises(ImageError, match="raw file") as caught:
        read_bytes(bytes(data))
    assert caught.value.kind == "unsupported"


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_every_color_model_becomes_rgb(mode: str) -> None:
    image = photo().convert(mode)
    assert np.array_equal(read_bytes(encode(image, "TIFF")).pixels, np.asarray(image.convert("RGB")))


def test_a_cmyk_jpeg_is_not_inverted() -> None:
    picture = read_bytes(encode(photo().convert("CMYK"), "JPEG", quality=95))
    assert np.abs(picture.pixels.astype(int) - np.asarray(photo())).mean() < 5


@pytest.mark.parametrize("container", ["PNG", "TIFF", "WEBP"])
def test_alpha_stays_apart_and_colors_stay_as_they_are(container: str) -> None:
    image = photo().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    picture = read_bytes(encode(image, container))
    assert np.array_equal(np.dstack([picture.pixels, picture.alpha]), np.asarray(image))
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    assert np.abs(picture.on_white().astype(int) - np.asarray(white.convert("RGB"))).max() <= 1


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_laying_on_white_takes_little_memory(depth: type) -> None:
    rng, full = np.random.default_rng(0), np.iinfo(depth).max
    pixels = rng.integers(0, full, (2500, 300, 3), depth, endpoint=True)
    alpha = rng.integers(0, full, (2500, 300), depth, endpoint=True)
    picture = DecodedImage(pixels, alpha, (300, 2500), "PNG", Metadata())
    tracemalloc.start()
    white = picture.on_white()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < white.nbytes + 6 * alpha.size
    cover = alpha[..., None] / full
    assert white.dtype == depth
    assert np.abs(white - (pixels * cover + full * (1 - cover))).max() < 0.51


def test_transparent_palette_and_color_key_are_alpha() -> None:
    image = photo().quantize(8)
    picture = read_bytes(encode(image, "PNG", transparency=3))
    assert np.array_equal(picture.alpha == 0, np.asarray(image) == 3)
    keyed = read_bytes(encode(photo().convert("L"), "PNG", transparency=int(photo().convert("L").getpixel((0, 0)))))
    assert keyed.alpha[0, 0] == 0
    assert keyed.alpha.max() == 255


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_stay_sixteen(extension: str, channels: int, capfd) -> None:
    full = np.dstack([deep(), deep()[..., 0]])
    stored = full[..., 0] if channels == 1 else full[..., :channels]
    data = encode_deep(stored, extension)
    capfd.readouterr()
    picture = read_bytes(data)
    expected = np.dstack([stored] * 3) if channels == 1 else stored[..., :3]
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, expected)
    assert (picture.alpha is None) == (channels != 4)
    assert picture.alpha is None or np.array_equal(picture.alpha, full[..., 3])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_in_every_container_and_depth(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = np.asarray(photo())
    for container in ("PNG", "WEBP", "TIFF"):
        picture = read_bytes(encode(photo(), container, exif=exif.tobytes() if container != "TIFF" else exif))
        assert np.array_equal(picture.pixels, turned(plain, orientation)), container
        assert picture.size == picture.pixels.shape[1::-1]
    jpeg = read_bytes(encode(photo(), "JPEG", exif=exif.tobytes()), shortest=16)
    assert jpeg.size == ((96, 64) if orientation < 5 else (64, 96))
    assert jpeg.pixels.shape == ((16, 24, 3) if orientation < 5 else (24, 16, 3))
    picture = read_bytes(deep_tiff(deep(), orientation))
    assert np.array_equal(picture.pixels, turned(deep(), orientation))
    data = bytearray(encode_deep(deep(), ".png"))
    data[33:33] = chunk(b"eXIf", exif.tobytes()[6:])
    assert np.array_equal(read_bytes(bytes(data)).pixels, turned(deep(), orientation))


@pytest.mark.parametrize("container", ["HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_turns_a_picture_itself_is_turned_once(orientation: int, container: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    picture = read_bytes(encode(photo(), container, quality=90, exif=exif.tobytes()))
    assert picture.size == ((96, 64) if orientation < 5 else (64, 96))
    assert np.abs(picture.pixels.astype(int) - turned(np.asarray(photo()), orientation)).mean() < 12


def test_a_jpeg_is_reduced_no_further_than_asked() -> None:
    data = encode(photo(500, 375), "JPEG")
    sides = {shortest: min(read_bytes(data, shortest=shortest).pixels.shape[:2]) for shortest in (376, 188, 64, 46, 8)}
    assert sides == {376: 375, 188: 375, 64: 94, 46: 47, 8: 47}
    assert read_bytes(data, shortest=64).size == (500, 375)


def test_interlaced_sixteen_bits_stay_sixteen() -> None:
    rows = b""
    for x, y, dx, dy in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]:
        rows += b"".join(b"\0" + row[x::dx].astype(">u2").tobytes() for row in deep()[y::dy])  # PNG 3, 8.1

    header, key = struct.pack(">IIBBBBB", 60, 40, 16, 2, 0, 0, 1), deep()[7, 9].astype(">u2").tobytes()
    chunks = [(b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    picture = read_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks))
    assert np.array_equal(picture.pixels, deep())
    assert picture.alpha[7, 9] == 0
    assert np.count_nonzero(picture.alpha == 65535) == picture.alpha.size - 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "AVIF", "HEIF"])
def test_the_header_tells_how_many_pixels_there_are(container: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(encode(photo(), container))
    assert probe(Source(str(tmp_path / "x"), PurePath("x"))) == Probe(container, 96 * 64)
    assert probe(Source("-", PurePath("stdin"), data=encode(photo(), container))) == Probe(container, 96 * 64)
    assert probe(Source("-", PurePath("stdin"), data=encode(photo(), container)[:12])).pixels is None


def test_the_header_tells_of_more_pixels_than_are_read() -> None:
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0)
    assert kind_of(header) == "too-large"
    assert probe(Source("-", PurePath("stdin"), data=header)) == Probe("BMP", 900_000_000)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(b"VP8L", {}), (b"VP8 ", {"lossless": False}), (b"VP8X", {"icc_profile": b"profile"})],
)
def test_each_kind_of_webp_tells(kind: bytes, options: dict[str, object]) -> None:
    data = encode(photo(), "WEBP", **options)
    assert data[12:16] == kind
    assert probe(Source("-", PurePath("stdin"), data=data)) == Probe("WEBP", 96 * 64)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    for name, format in (("folder", None), ("pipe", None), ("nothing", "")):
        assert probe(Source(str(tmp_path / name), PurePath(name))) == Probe(format)


def test_a_file_that_is_no_image_is_probed_without_an_error(tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("Dear diary")
    (tmp_path / "cut.jpg").write_bytes(encode(photo(), "JPEG")[:12])
    assert probe(Source(str(tmp_path / "note.jpg"), PurePath("note.jpg"))) == Probe("")
    assert probe(Source(str(tmp_path / "cut.jpg"), PurePath("cut.jpg"))) == Probe("JPEG")
