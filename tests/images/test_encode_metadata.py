"""EXIF and XMP go into every format that has them, and tell of the pixels as they are now."""

import io
import struct

import numpy as np
import pytest
from helpers.icc_profiles import SRGB
from helpers.round_trips import (
    DEEP,
    HEIGHT,
    SMALL,
    WIDTH,
    WITH_EXIF,
    XMP,
    again,
    encoded,
    make_exif,
    open_back,
    read_back,
)
from PIL import Image
from PIL.ExifTags import IFD, Base

from attnimg.images.metadata import Metadata, renew_xmp

# Pillow warns of broken EXIF.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("format", WITH_EXIF)
def test_exif_and_xmp_are_made_true(format: str, depth: int) -> None:
    pixels = SMALL if depth == 8 else DEEP
    data = encoded(pixels, format=format, metadata=Metadata(SRGB, make_exif(), XMP))
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


def test_xmp_whose_thumbnails_have_no_end_is_no_trap() -> None:
    """To search to the end from each of them would take minutes."""
    trap = b"<xmp:Thumbnails>" * 20_000
    assert renew_xmp(trap, WIDTH, HEIGHT) == trap
    assert renew_xmp(b"a<xmp:Thumbnails><b/><c>d</c></xmp:Thumbnails>e", WIDTH, HEIGHT) == b"ae"


@pytest.mark.parametrize("order", ["<", ">"])
def test_notes_stay_where_their_offsets_point(order: str) -> None:
    """Only what must change does: the rest of EXIF stays byte for byte."""
    entries = [(Base.Make, 2, 6, 38), (Base.Orientation, 3, 1, 8 if order == "<" else 8 << 16)]
    body = struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *e) for e in entries) + bytes(4)
    exif = (
        (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + body + b"Maker\0and what lies behind"
    )
    stored = read_back(encoded(SMALL, format="PNG", metadata=Metadata(None, exif, None))).metadata.exif[6:]
    assert len(stored) == len(exif)
    assert stored[38:] == exif[38:]
    assert open_back(encoded(SMALL, format="PNG", metadata=Metadata(None, exif, None))).getexif() == {
        Base.Make: "Maker"
    }


@pytest.mark.parametrize("format", WITH_EXIF)
@pytest.mark.parametrize(
    "exif", [b"", b"junk", b"Exif\0\0MM", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff1234"]
)
def test_broken_exif_is_dropped(format: str, exif: bytes) -> None:
    picture = read_back(encoded(SMALL, format=format, metadata=Metadata(None, exif, None), lossless=True))
    assert picture.metadata.exif is None
    assert picture.note is None


@pytest.mark.slow
@pytest.mark.parametrize("format", WITH_EXIF)
def test_random_damage_to_exif_harms_no_image(format: str) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        exif = np.frombuffer(make_exif(), np.uint8).copy()
        exif[rng.integers(6, 200, 1 + seed // 8)] = rng.integers(0, 256, 1 + seed // 8)
        assert read_back(encoded(SMALL, format=format, metadata=Metadata(None, exif.tobytes(), None))).size == (
            WIDTH,
            HEIGHT,
        )


def test_a_tiffs_own_tags_become_exif_and_tags_again() -> None:
    exif = Image.Exif()
    exif.load(make_exif())
    file = io.BytesIO()
    Image.fromarray(SMALL).save(file, "TIFF", exif=exif, icc_profile=SRGB)
    picture = read_back(file.getvalue())
    assert picture.pixels.shape[:2] == (WIDTH, HEIGHT)  # it was turned
    image = open_back(encoded(picture.pixels, format="TIFF", metadata=picture.metadata))
    assert image.size == (HEIGHT, WIDTH)
    assert image.tag_v2[Base.Make] == "Maker"
    jpeg = open_back(encoded(picture.pixels, format="JPEG", metadata=picture.metadata)).getexif()
    assert jpeg[Base.Make] == "Maker"
    assert jpeg.get_ifd(IFD.Exif)[Base.ExifImageWidth] == HEIGHT
    assert Base.StripOffsets not in jpeg
