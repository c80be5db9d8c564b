"""The table of formats: each extension has one meaning, and every module asks the same table."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from attnimg.files.formats import (
    FORMATS,
    HEAD,
    VIDEO_CONTAINERS,
    format_of,
    has_image_extension,
    has_raw_extension,
    has_video_extension,
    output_format,
    sniff,
    sniff_file,
)

EXTENSIONS = [extension for known in FORMATS.values() for extension in known.extensions + known.read_extensions]


def test_every_extension_belongs_to_one_format() -> None:
    assert {extension: count for extension, count in Counter(EXTENSIONS).items() if count > 1} == {}
    assert all(extension == extension.lower() and extension.startswith(".") for extension in EXTENSIONS)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_images_extension_is_no_videos_and_no_raw_files(extension: str) -> None:
    for name in (f"a{extension}", f"x.y/A{extension.upper()}"):
        assert (has_image_extension(name), has_video_extension(name), has_raw_extension(name)) == (True, False, False)


@pytest.mark.parametrize("extension", VIDEO_CONTAINERS)
def test_a_videos_extension_is_no_images(extension: str) -> None:
    name = f"a{extension.upper()}"
    assert (has_image_extension(name), has_video_extension(name), has_raw_extension(name)) == (False, True, False)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_written_under_its_own_extensions(name: str) -> None:
    known = FORMATS[name]
    assert {format_of(f"a{extension}") for extension in known.extensions} == ({name} if known.extensions else set())
    assert {format_of(f"a{extension}") for extension in known.read_extensions} <= {None}
    assert output_format(name) == (name if known.extensions else "PNG")


def test_a_format_without_its_package_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, "HEIF", replace(FORMATS["HEIF"], package="no_such_package"))
    assert not FORMATS["HEIF"].is_written
    assert (format_of("a.heic"), output_format("HEIF")) == (None, "PNG")
    assert has_image_extension("a.heic")  # it is found, and reading it names the extra


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "TIFF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"BMW and other cars", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x14ftypmif1avif\0\0\0\0", "HEIF"),  # there a version stands, and no brand
        (b"\0\0\0\x14ftypisom\0\0\0\0avif", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", None),
        (b"", None),
    ],
)
def test_content_tells_the_format(head: bytes, name: str | None, tmp_path: Path) -> None:
    assert sniff(head.ljust(HEAD, b"\0")) == name
    (tmp_path / "x").write_bytes(head)
    assert sniff_file(tmp_path / "x") == sniff(head)


def test_a_file_that_cannot_be_read_has_no_format(tmp_path: Path) -> None:
    assert sniff_file(tmp_path) is None
    assert sniff_file(tmp_path / "nothing") is None
