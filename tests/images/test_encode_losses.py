"""What a format cannot hold is told in the record, and nothing else is."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.icc_profiles import SRGB, make_cmyk_profile, make_gray_profile
from helpers.results import Run
from helpers.round_trips import (
    ALPHA,
    DEEP,
    DEEP_ALPHA,
    HEIGHT,
    NOTHING,
    SMALL,
    WIDTH,
    WRITTEN,
    XMP,
    make_exif,
    open_back,
    read_back,
)
from PIL import Image, TiffTags
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from attnimg.images.decoded import DecodedImage
from attnimg.images.encode import encode
from attnimg.images.metadata import Metadata
from attnimg.images.pixels import Pixels

GRAY, DEEP_GRAY = (np.dstack([pixels[..., 1]] * 3) for pixels in (SMALL, DEEP))
IPTC_TAG, IPTC = 33723, b"\x1c\x02\x69\0\x01x"  # a headline
GRAY_PROFILE = make_gray_profile(1.8)


def exif_of(size: int) -> bytes:
    exif = Image.Exif()
    exif[IFD.Exif] = {Base.MakerNote: bytes(size)}
    return exif.tobytes()


def profile_of(size: int) -> bytes:
    return struct.pack(">I", size) + SRGB[4:].ljust(size - 4, b"\1")


def picture_of(
    pixels: Pixels,
    alpha: Pixels | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    *,
    applied: bool = True,
) -> DecodedImage:
    gray = bool((pixels == pixels[..., :1]).all())
    return DecodedImage(pixels, alpha, (WIDTH, HEIGHT), "", Metadata(icc, exif, xmp, applied), gray=gray)


CASES = {
    "an ordinary photo": picture_of(SMALL, None, SRGB, make_exif(), XMP),
    "nothing beside": picture_of(SMALL),
    "deep": picture_of(DEEP, None, SRGB, make_exif(), XMP),
    "alpha": picture_of(SMALL, ALPHA),
    "deep, alpha": picture_of(DEEP, DEEP_ALPHA),
    "gray": picture_of(GRAY, None, GRAY_PROFILE),
    "gray, alpha": picture_of(GRAY, ALPHA, GRAY_PROFILE),
    "deep gray, alpha": picture_of(DEEP_GRAY, DEEP_ALPHA, GRAY_PROFILE),
    "large": picture_of(SMALL, None, profile_of(200_000), exif_of(100_000), XMP + bytes(100_000)),
    "larger": picture_of(SMALL, None, profile_of(5 << 20), exif_of(1 << 21), XMP + bytes(1 << 22)),
    "largest": picture_of(SMALL, None, profile_of(1 << 24)),
    "too large": picture_of(SMALL, None, profile_of((1 << 24) + 1)),
    "ink": picture_of(SMALL, None, make_cmyk_profile()),
    "no way back": picture_of(SMALL, None, make_cmyk_profile(has_return=False)),
    "another's profile": picture_of(SMALL, None, make_cmyk_profile(), applied=False),
    "broken": picture_of(SMALL, None, SRGB[:150], b"junk", XMP),
}


def find_missing(before: DecodedImage, after: DecodedImage) -> set[str]:
    was, is_ = before.metadata, after.metadata
    missing = {
        "16 bits": before.pixels.dtype != after.pixels.dtype,
        "transparency": before.alpha is not None and after.alpha is None,
        "profile": was.icc is not None and is_.icc != was.icc,
        "EXIF": was.exif is not None and is_.exif is None,
        "XMP": was.xmp is not None and is_.xmp is None,
    }
    return {name for name, gone in missing.items() if gone}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("format", [pytest.param(n, marks=pytest.mark.slow) if n == "HEIF" else n for n in WRITTEN])
def test_what_is_missing_is_told(format: str, case: str) -> None:
    picture = CASES[case]
    data, note = encode(
        picture.pixels, picture.alpha, format=format, metadata=picture.metadata, lossless=True, gray=picture.gray
    )
    told = {name for name in ("16 bits", "transparency", "profile", "EXIF", "XMP") if name in (note or "")}
    assert told == find_missing(picture, read_back(data))


NOTES = {
    ("JPEG", "deep"): "its 16 bits per color became 8, for JPEG holds no more",
    ("JPEG", "alpha"): "its transparency became white, for JPEG holds none",
    ("JPEG", "large"): (
        "its EXIF was dropped, for it does not fit into JPEG; its XMP was dropped, for it does not fit into JPEG"
    ),
    ("PNG", "larger"): "its color profile was dropped, for it does not fit into PNG",
    ("WEBP", "gray"): "its color profile was dropped, for it does not fit into WEBP",
    ("TIFF", "too large"): "its color profile was dropped, for it is larger than profiles are",
    ("TIFF", "another's profile"): "its color profile was dropped, for it is for CMYK pixels",
    ("TIFF", "broken"): "its color profile was dropped, for it is broken; its EXIF was dropped, for it is broken",
}


@pytest.mark.parametrize(("format", "case"), NOTES)
def test_notes_say_what_and_why(format: str, case: str) -> None:
    picture = CASES[case]
    note = encode(picture.pixels, picture.alpha, format=format, metadata=picture.metadata, gray=picture.gray).note
    assert note == NOTES[format, case]


def test_alpha_that_hides_nothing_is_no_loss() -> None:
    data, note = encode(SMALL, np.full_like(ALPHA, 255), format="JPEG", metadata=NOTHING)
    assert note is None
    assert np.abs(np.asarray(open_back(data)).astype(int) - SMALL).mean() < 1


@pytest.mark.parametrize("missed", [True, False])
def test_tags_that_a_tiff_does_not_get(missed: bool) -> None:
    exif = Image.Exif()
    exif[Base.Make], exif[Base.YCbCrPositioning], exif[Base.PrintImageMatching] = "Maker", 1, b"PrintIM"
    if missed:
        exif[Base.RatingPercent] = 75
    data, note = encode(SMALL, format="TIFF", metadata=Metadata(None, exif.tobytes(), None))
    assert note == ("some of its EXIF was dropped, for it does not fit into TIFF" if missed else None)
    kept = open_back(data).getexif()
    assert kept[Base.Make] == "Maker"
    assert Base.RatingPercent not in kept


def save(format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(SMALL).save(file, format, **options)
    return file.getvalue()


def with_text() -> bytes:
    text = PngInfo()
    text.add_text("Author", "somebody")
    return save("PNG", pnginfo=text)


def with_iptc(format: str) -> bytes:
    if format == "TIFF":
        tags = ImageFileDirectory_v2()
        tags[IPTC_TAG], tags.tagtype[IPTC_TAG] = IPTC, TiffTags.UNDEFINED
        return save(format, tiffinfo=tags)
    body, data = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x06" + IPTC, save(format)
    return data[:2] + b"\xff\xed" + struct.pack(">H", 2 + len(body)) + body + data[2:]


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (with_text(), "its text was dropped"),
        (save("JPEG", comment=b"of a camera"), "its comment was dropped"),
        (with_iptc("JPEG"), "its IPTC was dropped"),
        (with_iptc("TIFF"), "its IPTC was dropped"),
        (save("PNG"), None),
        (save("JPEG"), None),
        (save("TIFF"), None),
    ],
)
def test_what_else_a_file_carried_is_told(data: bytes, note: str | None) -> None:
    picture = read_back(data)
    assert encode(picture.pixels, None, format="PNG", metadata=picture.metadata).note == note


@pytest.mark.slow
def test_records_tell_what_reading_and_writing_lost(run: Run, night: Path, tmp_path: Path) -> None:
    frames = [Image.fromarray(np.dstack([pixels, ALPHA])[:40, :40]) for pixels in (SMALL, 255 - SMALL)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    frames[0].convert("RGB").save(tmp_path / "still.png", exif=exif_of(100))
    status, out, _ = run(
        *("enhance", tmp_path / "moving.webp", tmp_path / "still.png", "-o", tmp_path / "out"),
        *("--save-as", "jpeg", "--model", night, "--device", "cpu"),
    )
    moving, still = map(json.loads, out.splitlines())
    assert status == 0
    assert moving["note"] == (
        "only the first of its frames or pages was read; its transparency became white, for JPEG holds none"
    )
    assert "note" not in still
