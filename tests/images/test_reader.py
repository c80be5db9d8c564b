"""Looks into files, in child processes: what hangs or crashes there does no harm here, and all else is as ever."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest
from helpers.paths import HELPERS
from PIL import Image, ImageCms

from attnimg.errors import ImageError
from attnimg.files.outputs import Output, OutputNames
from attnimg.files.source import Probe, Source
from attnimg.images.color import from_srgb
from attnimg.images.isolation.pool import IsolatedReader
from attnimg.images.read import read

FAULTY = HELPERS / "faulty"


def photo(width: int = 60, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, 40)).save(file, "JPEG", **options)
    return file.getvalue()


def source(path: Path) -> Source:
    return Source(str(path), PurePath(path.name))


def place(reader: IsolatedReader, folder: Path) -> Output:
    names = OutputNames(folder, skip_existing=True, is_complete=reader.is_complete)
    return names.place(source(Path("a.jpg")), ".png")


@pytest.fixture(scope="module")
def reader() -> Iterator[IsolatedReader]:
    """A reader whose children have a Pillow with faults, as this process has not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(FAULTY))
        with IsolatedReader(1, timeout=2) as reader:
            yield reader


@pytest.fixture(params=["crash", "hang"])
def fault(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
def test_a_header_costs_its_image_only(reader: IsolatedReader, fault: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(photo() + fault.encode())
    (tmp_path / "good.jpg").write_bytes(photo())
    assert reader.probe(source(tmp_path / "bad.jpg")) == Probe("JPEG")
    assert reader.probe(source(tmp_path / "good.jpg")) == Probe("JPEG", 60 * 40)
    assert read(source(tmp_path / "bad.jpg")).size == (60, 40)  # here nothing is at fault


def test_what_cannot_be_measured_is_not(reader: IsolatedReader, tmp_path: Path) -> None:
    (tmp_path / "note.jpg").write_text("Dear diary")
    (tmp_path / "cut.jpg").write_bytes(photo()[:12])
    for name in ("note.jpg", "cut.jpg", "gone.jpg", ""):
        assert reader.probe(source(tmp_path / name)).pixels is None


def test_an_output_that_opens_is_kept_and_one_that_does_not_is_replaced(reader: IsolatedReader, tmp_path: Path) -> None:
    output = tmp_path / "a.png"
    Image.new("RGB", (60, 40)).save(output)
    assert place(reader, tmp_path) == Output(output, skip=True)
    output.write_bytes(output.read_bytes()[:60])
    assert place(reader, tmp_path) == Output(output, replace=True)


def test_an_output_that_crashes_its_decoder_is_replaced(reader: IsolatedReader, tmp_path: Path) -> None:
    output = tmp_path / "a.png"
    output.write_bytes(photo() + b"crash")
    assert place(reader, tmp_path) == Output(output, replace=True)


@pytest.mark.slow
def test_an_output_that_hangs_its_decoder_is_told_of(reader: IsolatedReader, tmp_path: Path) -> None:
    output = tmp_path / "a.png"
    output.write_bytes(photo() + b"hang")
    with pytest.raises(ImageError, match=r"a\.png exists\. Decoding it took over 2 seconds\.") as caught:
        place(reader, tmp_path)
    assert caught.value.kind == "timeout"


def test_the_way_back_into_a_profile_is_tried_there(reader: IsolatedReader, tmp_path: Path) -> None:
    icc = gray_profile()
    (tmp_path / "gray.jpg").write_bytes(photo(mode="L", icc_profile=icc))
    with pytest.raises(ImageError, match="crashed") as caught:
        reader.read(source(tmp_path / "gray.jpg"))
    assert caught.value.kind == "damaged"
    picture = read(source(tmp_path / "gray.jpg"))
    assert picture.metadata.icc == icc
    assert picture.metadata.icc_applied
    assert from_srgb(picture.pixels, icc).shape == (40, 60)


def gray_profile() -> bytes:
    """The profile of sRGB, made one of gray, and linear (ICC.1:2022, 7.2.6, 7.3 and 10.6)."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[16:20] = b"GRAY"
    tag = icc.index(b"gTRC")
    icc[tag : tag + 4] = b"kTRC"
    start = int.from_bytes(icc[tag + 4 : tag + 8], "big")
    icc[start : start + 12] = b"curv".ljust(12, b"\0")
    return bytes(icc)
