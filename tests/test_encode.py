"""Round trips: what was encoded is read back, by this program's reader and by Pillow."""

import io
import re
import struct
import threading
import tracemalloc
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

from attnimg.errors import ImageError
from attnimg.images.encode import EXTENSIONS, encode, extension_of, format_of, output_format
from attnimg.images.picture import Metadata, Picture
from attnimg.images.place import Target
from attnimg.images.read import read
from attnimg.images.source import Source
from attnimg.images.write import write_bytes

# Pillow warns of broken EXIF.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 300, 70  # more rows than are handled at once
SMALL = cv2.resize(RNG.integers(30, 220, (9, 6, 3), dtype=np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
DEEP = cv2.resize(
    RNG.integers(9000, 56000, (9, 6, 3), dtype=np.uint16), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR
)
ALPHA = RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
DEEP_ALPHA = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
NOTHING = Metadata(None, None, None)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SRGB_TO_XYZ = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]])
P3 = {b"rXYZ": (0.51512, 0.2412, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189), b"bXYZ": (0.1571, 0.06657, 0.78407)}


def make_profile(gamma: float, primaries: dict[bytes, tuple[float, ...]]) -> bytes:
    icc = bytearray(SRGB)
    tags = {bytes(icc[at : at + 4]): at for at in range(132, 132 + 12 * icc[131], 12)}
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        start = int.from_bytes(icc[tags[name] + 4 : tags[name] + 8], "big")
        icc[start : start + 16] = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))
        icc[tags[name] + 8 : tags[name] + 12] = struct.pack(">I", 14)
    for name, xyz in primaries.items():
        start = int.from_bytes(icc[tags[name] + 4 : tags[name] + 8], "big")
        icc[start + 8 : start + 20] = struct.pack(">3i", *(round(v * 65536) for v in xyz))
    return bytes(icc)


def make_grey_profile(gamma: float) -> bytes:
    icc = bytearray(make_profile(gamma, {}))
    icc[16:20] = b"GRAY"
    at = icc.index(b"gTRC")
    icc[at : at + 4] = b"kTRC"
    return bytes(icc)


def make_cmyk_profile(has_return: bool = True) -> bytes:
    """A printer's profile whose tables say that paper less ink is light, by Lab's L only: black ink alone is used."""

    def table(inputs: int, outputs: int, points: np.ndarray) -> bytes:
        grid = round(len(points) ** (1 / inputs))
        ramp = bytes(range(256))
        head = (
            b"mft1"
            + bytes(4)
            + bytes([inputs, outputs, grid, 0])
            + struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).flat)
        )
        return head + ramp * inputs + points.astype(np.uint8).tobytes() + ramp * outputs

    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    to_lab = np.stack([255 * (1 - inks[:, 3]), *[np.full(16, 128)] * 2], -1)
    lab = np.stack(np.meshgrid(*[np.linspace(0, 1, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    to_inks = np.stack([*[np.zeros(27)] * 3, 255 * (1 - lab[:, 0])], -1)
    tags = {b"A2B0": table(4, 3, to_lab), b"A2B1": table(4, 3, to_lab)}
    if has_return:
        tags |= {b"B2A0": table(3, 4, to_inks), b"B2A1": table(3, 4, to_inks)}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    at, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"prtrCMYKLab ", b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    head[:4] = struct.pack(">I", at + len(body))
    return bytes(head) + struct.pack(">I", len(tags)) + entries + body


def make_exif(orientation: int = 6) -> bytes:
    """EXIF with a size, a maker's note at an offset of its own, a place, and a thumbnail after it all."""
    exif = Image.Exif()
    exif[Base.Orientation], exif[Base.Make], exif[Base.Artist] = orientation, "Maker", b"J\xc3\xb6rg"
    exif[IFD.Exif] = {Base.ExifImageWidth: 4000, Base.ExifImageHeight: 3000, Base.MakerNote: b"note" * 9}
    exif[IFD.GPSInfo] = {1: "N", 2: (52.0, 31.0, 12.5)}
    data = bytearray(exif.tobytes()[6:])
    thumbnail = encode(SMALL[:40], format="JPEG", metadata=NOTHING)
    order = ">" if data[:2] == b"MM" else "<"
    first = struct.unpack_from(order + "I", data, 4)[0]
    after = first + 2 + 12 * struct.unpack_from(order + "H", data, first)[0]
    struct.pack_into(order + "I", data, after, len(data))
    entries = [(0x0201, 4, 1, len(data) + 30), (0x0202, 4, 1, len(thumbnail))]
    data += struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *e) for e in entries) + bytes(4)
    return b"Exif\0\0" + bytes(data) + thumbnail


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="4000" dc:x="7">'
    b"<tiff:ImageLength>3000</tiff:ImageLength><xmp:Thumbnails><rdf:Alt>AAAA</rdf:Alt></xmp:Thumbnails>"
    b"</rdf:Description></x:xmpmeta>"
)


def read_back(data: bytes | memoryview) -> Picture:
    return read(Source("-", PurePath("stdin"), data=bytes(data)))


def open_back(data: bytes | memoryview) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def again(picture: Picture, **options) -> Picture:
    """Encode a picture in its own manner, as enhancing does, and read it back."""
    manner = {"format": picture.format, "lossless": picture.lossless, "grey": picture.grey, **options}
    return read_back(encode(picture.pixels, picture.alpha, metadata=picture.metadata, **manner))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "WEBP"])
def test_lossless_formats_keep_every_pixel(format: str, transparent: bool, grey: bool) -> None:
    pixels = np.dstack([SMALL[..., 0]] * 3) if grey else SMALL
    before = pixels.copy()
    alpha = ALPHA if transparent else None
    picture = read_back(encode(pixels, alpha, format=format, metadata=NOTHING, lossless=True, grey=grey))
    assert np.array_equal(picture.pixels, pixels)
    assert np.array_equal(pixels, before)
    assert (picture.alpha is None) if alpha is None else np.array_equal(picture.alpha, alpha)
    assert (picture.format, picture.lossless, picture.note) == (format, True, None)
    assert picture.grey == (grey and format != "WEBP" and not (format == "BMP" and transparent))


@pytest.mark.parametrize(
    ("format", "transparent", "grey"),
    [
        (f, t, g)
        for f in ("PNG", "TIFF")
        for t in (False, True)
        for g in (False, True)
        if (f, t, g) != ("TIFF", True, True)
    ],
)
def test_sixteen_bits_are_kept(format: str, transparent: bool, grey: bool) -> None:
    pixels = np.dstack([DEEP[..., 0]] * 3) if grey else DEEP
    data = encode(pixels, DEEP_ALPHA if transparent else None, format=format, metadata=NOTHING, grey=grey)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert back.dtype == np.uint16
    assert np.array_equal(back if back.ndim == 2 else back[..., 2::-1], pixels[..., 0] if back.ndim == 2 else pixels)
    assert not transparent or np.array_equal(back[..., 3], DEEP_ALPHA)
    picture = read_back(data)
    assert picture.grey == grey
    assert np.array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "BMP"])
def test_other_formats_get_sixteen_bits_rounded(format: str) -> None:
    picture = read_back(encode(DEEP, format=format, metadata=NOTHING))
    assert picture.pixels.dtype == np.uint8
    assert picture.lossless == (format == "BMP")
    assert np.abs(picture.pixels - DEEP / 257).max() < (0.51 if format == "BMP" else 16)


@pytest.mark.parametrize("format", ["WEBP", "AVIF"])
def test_lossy_formats_keep_alpha(format: str) -> None:
    smooth = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
    picture = read_back(encode(SMALL, smooth, format=format, metadata=NOTHING))
    assert np.abs(picture.alpha.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize("depth", [8, 16])
def test_jpeg_lays_on_white(depth: int) -> None:
    pixels, alpha = (SMALL, ALPHA) if depth == 8 else (DEEP, DEEP_ALPHA)
    clear = np.zeros_like(alpha)
    assert read_back(encode(pixels, clear, format="JPEG", metadata=NOTHING)).pixels.min() >= 254


def test_jpeg_keeps_colours_whole_and_grey_grey() -> None:
    image = open_back(encode(SMALL, format="JPEG", metadata=NOTHING))
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    assert np.abs(np.asarray(image).astype(int) - SMALL).mean() < 1
    assert open_back(encode(SMALL, format="JPEG", metadata=NOTHING, grey=True)).mode == "L"
    sizes = [len(encode(SMALL, format="JPEG", metadata=NOTHING, quality=q)) for q in (50, 95)]
    assert sizes[0] < sizes[1]


PROFILES = {"sRGB": SRGB, "wide": make_profile(2.2, P3), "linear": make_profile(1.0, P3)}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_8_bits_go_back_into_the_profile(format: str, name: str) -> None:
    """Little CMS's own way from sRGB, and what was stored is stored again."""
    icc = PROFILES[name]
    data = encode(SMALL, format=format, metadata=Metadata(icc, None, None), lossless=True)
    stored = np.asarray(open_back(data)).astype(int)
    light = np.where(SMALL / 255 <= 0.04045, SMALL / 255 / 12.92, ((SMALL / 255 + 0.055) / 1.055) ** 2.4)
    if name != "sRGB":
        primaries = np.stack([P3[name] for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        light = (light @ np.linalg.solve(primaries, SRGB_TO_XYZ).T) ** (1 / (2.2 if name == "wide" else 1.0))
        assert np.abs(stored - 255 * light).max() < 2
    picture = read_back(data)
    assert (picture.metadata.icc, picture.metadata.icc_applied, picture.note) == (icc, True, None)
    assert np.abs(picture.pixels.astype(int) - SMALL).mean() < (2 if name == "linear" else 0.5)
    after = open_back(encode(picture.pixels, format=format, metadata=picture.metadata, lossless=True))
    assert np.abs(np.asarray(after) - stored).max() <= (0 if name == "sRGB" else 2)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bits_go_back_into_the_profile(format: str, name: str) -> None:
    icc = PROFILES[name]
    data = encode(DEEP, format=format, metadata=Metadata(icc, None, None))
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert name == "sRGB" or np.abs(stored[..., ::-1].astype(int) - DEEP).mean() > 500
    shallow = np.asarray(open_back(encode(DEEP, format="WEBP", metadata=Metadata(icc, None, None), lossless=True)))
    assert np.abs(stored[..., ::-1] / 257 - shallow).max() < 2  # Little CMS agrees
    picture = read_back(data)
    assert (picture.metadata.icc, picture.note) == (icc, None)
    assert np.abs(picture.pixels.astype(int) - DEEP).max() <= 4
    after = encode(picture.pixels, format=format, metadata=picture.metadata)
    assert np.abs(cv2.imdecode(np.frombuffer(after, np.uint8), cv2.IMREAD_UNCHANGED).astype(int) - stored).max() <= 2


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("depth", [8, 16])
def test_grey_goes_back_into_its_profile(format: str, depth: int) -> None:
    icc = make_grey_profile(1.8)
    grey = np.dstack([(SMALL if depth == 8 else DEEP)[..., 1]] * 3)
    picture = read_back(encode(grey, format=format, metadata=Metadata(icc, None, None), grey=True))
    assert picture.grey
    assert (picture.metadata.icc, picture.note) == (icc, None)
    assert picture.pixels.dtype == (np.uint8 if depth == 8 or format == "JPEG" else np.uint16)
    expected = grey if picture.pixels.dtype == grey.dtype else grey / 257
    assert np.abs(picture.pixels - expected.astype(float)).max() <= (4 if format == "JPEG" else 2)
    for other in ("WEBP", "BMP"):
        picture = read_back(encode(grey, format=other, metadata=Metadata(icc, None, None), lossless=True, grey=True))
        assert picture.metadata.icc is None
        assert np.abs(picture.pixels - (grey if depth == 8 else grey / 257)).max() < 0.51


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_stays_cmyk(format: str) -> None:
    icc = make_cmyk_profile()
    grey = np.dstack([SMALL[..., 1]] * 3)
    data = encode(grey, format=format, metadata=Metadata(icc, None, None))
    assert open_back(data).mode == "CMYK"
    picture = read_back(data)
    assert (picture.metadata.icc, picture.note, picture.grey) == (icc, None, False)
    assert np.abs(picture.pixels.astype(int) - grey).mean() < 4
    assert np.abs(again(picture).pixels.astype(int) - picture.pixels).mean() < 2
    assert open_back(encode(grey, format="PNG", metadata=picture.metadata)).mode == "RGB"


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
    picture = read_back(encode(DEEP, format="PNG", metadata=Metadata(icc, None, None, icc_applied=False)))
    assert not picture.metadata.icc_applied
    assert "profile" in (picture.note or "")
    after = again(picture)
    assert after.metadata.icc == icc
    assert np.array_equal(after.pixels, DEEP)


@pytest.mark.parametrize("icc", [b"junk" * 40, SRGB[:150], make_cmyk_profile(has_return=False)])
def test_a_profile_that_is_of_no_use_is_dropped(icc: bytes) -> None:
    for applied in (False, True):
        picture = read_back(encode(SMALL, format="JPEG", metadata=Metadata(icc, None, None, applied)))
        assert (picture.metadata.icc, picture.note) == (None, None)


def test_a_curve_without_an_inverse_leaves_srgb() -> None:
    icc = bytearray(make_profile(2.2, P3))
    at = icc.index(b"curv")
    icc[at : at + 18] = b"curv" + bytes(4) + struct.pack(">I3H", 3, 0, 65535, 9000)
    picture = read_back(encode(DEEP, format="PNG", metadata=Metadata(bytes(icc), None, None)))
    assert picture.metadata.icc is None
    assert np.array_equal(picture.pixels, DEEP)


def test_a_large_profile_goes_into_several_segments() -> None:
    icc = bytearray(SRGB + bytes(150_000))
    icc[:4] = struct.pack(">I", len(icc))
    assert read_back(encode(SMALL, format="JPEG", metadata=Metadata(bytes(icc), None, None))).metadata.icc == icc


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_exif_and_xmp_are_made_true(format: str, depth: int) -> None:
    pixels = SMALL if depth == 8 else DEEP
    data = encode(pixels, format=format, metadata=Metadata(SRGB, make_exif(), XMP))
    image = open_back(data)
    exif = image.getexif()
    assert exif.get(Base.Orientation, 1) == 1
    assert exif[Base.Make] == "Maker"
    assert exif[Base.Artist].encode("latin-1").decode() == "Jörg"
    below = exif.get_ifd(IFD.Exif)
    assert (below[Base.ExifImageWidth], below[Base.ExifImageHeight]) == (WIDTH, HEIGHT)
    assert below[Base.MakerNote] == b"note" * 9
    assert exif.get_ifd(IFD.GPSInfo)[2] == (52.0, 31.0, 12.5)
    assert not exif.get_ifd(IFD.IFD1)
    picture = read_back(data)
    assert b"\xff\xd8" not in picture.metadata.exif[2:]
    assert picture.metadata.icc == SRGB
    xmp = picture.metadata.xmp
    assert b'tiff:Orientation="1"' in xmp
    assert b'exif:PixelXDimension="%d"' % WIDTH in xmp
    assert b"<tiff:ImageLength>%d<" % HEIGHT in xmp
    assert b"Thumbnails" not in xmp
    assert b'dc:x="7"' in xmp
    assert picture.size == (WIDTH, HEIGHT)
    after = again(picture)
    assert after.metadata.xmp == xmp
    assert after.metadata.exif == picture.metadata.exif


@pytest.mark.parametrize("order", ["<", ">"])
def test_notes_stay_where_their_offsets_point(order: str) -> None:
    """Only what must change does: the rest of EXIF stays byte for byte."""
    entries = [(Base.Make, 2, 6, 38), (Base.Orientation, 3, 1, 8 if order == "<" else 8 << 16)]
    body = struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *e) for e in entries) + bytes(4)
    exif = (
        (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + body + b"Maker\0and what lies behind"
    )
    stored = read_back(encode(SMALL, format="PNG", metadata=Metadata(None, exif, None))).metadata.exif[6:]
    assert len(stored) == len(exif)
    assert stored[38:] == exif[38:]
    assert open_back(encode(SMALL, format="PNG", metadata=Metadata(None, exif, None))).getexif() == {Base.Make: "Maker"}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize(
    "exif", [b"", b"junk", b"Exif\0\0MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff1234"]
)
def test_broken_exif_is_dropped(format: str, exif: bytes) -> None:
    picture = read_back(encode(SMALL, format=format, metadata=Metadata(None, exif, None), lossless=True))
    assert picture.metadata.exif is None
    assert picture.note is None


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_random_damage_to_exif_harms_no_image(format: str) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        exif = np.frombuffer(make_exif(), np.uint8).copy()
        exif[rng.integers(6, 200, 1 + seed // 8)] = rng.integers(0, 256, 1 + seed // 8)
        assert read_back(encode(SMALL, format=format, metadata=Metadata(None, exif.tobytes(), None))).size == (
            WIDTH,
            HEIGHT,
        )


def test_what_does_not_fit_into_a_jpeg_segment_is_dropped() -> None:
    exif = make_exif() + bytes(70_000)
    picture = read_back(encode(SMALL, format="JPEG", metadata=Metadata(None, exif, XMP + bytes(70_000))))
    assert (picture.metadata.exif, picture.metadata.xmp) == (None, None)
    assert read_back(encode(SMALL, format="WEBP", metadata=Metadata(None, exif, None))).metadata.exif


def test_a_tiffs_own_tags_become_exif_and_tags_again() -> None:
    exif = Image.Exif()
    exif.load(make_exif())
    file = io.BytesIO()
    Image.fromarray(SMALL).save(file, "TIFF", exif=exif, icc_profile=SRGB)
    picture = read_back(file.getvalue())
    assert picture.pixels.shape[:2] == (WIDTH, HEIGHT)  # it was turned
    image = open_back(encode(picture.pixels, format="TIFF", metadata=picture.metadata))
    assert image.size == (HEIGHT, WIDTH)
    assert image.tag_v2[Base.Make] == "Maker"
    jpeg = open_back(encode(picture.pixels, format="JPEG", metadata=picture.metadata)).getexif()
    assert jpeg[Base.Make] == "Maker"
    assert jpeg.get_ifd(IFD.Exif)[Base.ExifImageWidth] == HEIGHT
    assert Base.StripOffsets not in jpeg


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
        seen[mode, container] = (picture.lossless, picture.grey)
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
        encode(np.zeros((1, side, 3), np.uint8), format=format, metadata=NOTHING)
    assert caught.value.kind == "write-failed"
    if side:
        data = encode(np.zeros((1, side - 1, 3), np.uint8), format=format, metadata=NOTHING)
        assert read_back(data).size == (side - 1, 1)


def test_what_an_encoder_raises_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cv2.imencode", lambda *args: (False, None))
        with pytest.raises(ImageError, match=r"as JPEG: it was refused\.") as caught:
            encode(SMALL, format="JPEG", metadata=NOTHING)
    assert caught.value.kind == "write-failed"

    def fail(*args: object) -> None:
        raise cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes")

    monkeypatch.setattr("cv2.imencode", fail)
    with pytest.raises(MemoryError):
        encode(SMALL, format="JPEG", metadata=NOTHING)


@pytest.mark.parametrize(("format", "most"), [("JPEG", 2.2), ("PNG", 0.7), ("TIFF", 0.7)])
def test_memory_is_bounded(format: str, most: float) -> None:
    """In copies of the picture, what is encoded included: flat here, so that it is next to nothing."""
    pixels = np.full((3000, 1000, 3), 90, np.uint8)
    tracemalloc.start()
    encode(pixels, format=format, metadata=NOTHING)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * pixels.nbytes


def test_writers_can_be_threads() -> None:
    found: list[bool] = []

    def work() -> None:
        data = encode(SMALL, format="PNG", metadata=Metadata(PROFILES["wide"], make_exif(), XMP))
        found.append(np.abs(read_back(data).pixels.astype(int) - SMALL).mean() < 0.5)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_extensions() -> None:
    assert all(
        format_of(f"x/photo{extension}") == format for format, known in EXTENSIONS.items() for extension in known
    )
    assert format_of(Path("a.b.JPG")) == "JPEG"
    assert [format_of(name) for name in ("a.gif", "a", ".png", "a.txt", "")] == [None] * 5
    assert extension_of("JPEG", "x/a.JPEG") == ".JPEG"
    assert extension_of("JPEG", "a.mpo") == ".jpg"
    assert extension_of("PNG", "a.gif") == ".png"
    assert extension_of("TIFF") == ".tif"
    assert [output_format(format) for format in ("GIF", "JPEG", "AVIF")] == ["PNG", "JPEG", "AVIF"]


def test_the_time_of_modification_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    write_bytes(Target(tmp_path / "a.png", replace=True), b"new", modified=1_234_567_890.5)
    assert (tmp_path / "a.png").stat().st_mtime == 1_234_567_890.5
    assert re.fullmatch(r"a\.png", " ".join(path.name for path in tmp_path.iterdir()))
