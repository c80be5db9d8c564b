import errno
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from attnimg.drawing.write import write_drawing
from attnimg.errors import ImageError
from attnimg.files.outputs import Output
from attnimg.files.write import put, write_bytes


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def kind_of(path: Path, data: bytes = b"new", *, replace: bool = False) -> str:
    with pytest.raises(ImageError) as caught:
        write_bytes(Output(path, replace=replace), data)
    return caught.value.kind


@pytest.fixture(params=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("links")
def test_writes_new_files_and_the_folders_above(tmp_path: Path) -> None:
    write_bytes(Output(tmp_path / "x/y/a.bin"), b"new")
    assert (tmp_path / "x/y/a.bin").read_bytes() == b"new"
    assert names(tmp_path / "x/y") == ["a.bin"]


@pytest.mark.usefixtures("links")
def test_replaces_only_when_told(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    assert kind_of(path) == "exists"
    assert path.read_bytes() == b"old"
    write_bytes(Output(path, replace=True), b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


def test_replaces_a_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    (tmp_path / "a.jpg").symlink_to("photo.jpg")
    assert kind_of(tmp_path / "a.jpg") == "exists"
    write_bytes(Output(tmp_path / "a.jpg", replace=True), b"new")
    assert (tmp_path / "photo.jpg").read_bytes() == b"precious"
    assert (tmp_path / "a.jpg").read_bytes() == b"new"


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_link_is_put_as_a_link(tmp_path: Path, overwrite: bool) -> None:
    photo, path = tmp_path / "photo.jpg", tmp_path / "a.jpg"
    photo.write_bytes(b"precious")
    if overwrite:
        path.write_bytes(b"old")
    put(Output(path, replace=overwrite), lambda temporary: temporary.symlink_to(photo))
    assert path.readlink() == photo
    assert names(tmp_path) == ["a.jpg", "photo.jpg"]


def test_a_hard_link_over_its_own_file_leaves_no_other_behind(tmp_path: Path) -> None:
    photo, path = tmp_path / "photo.jpg", tmp_path / "a.jpg"
    photo.write_bytes(b"precious")
    for _ in range(2):  # the second rename is between two names of one file, and does nothing
        put(Output(path, replace=True), lambda temporary: temporary.hardlink_to(photo))
        assert path.samefile(photo)
        assert names(tmp_path) == ["a.jpg", "photo.jpg"]


def test_what_cannot_be_made_leaves_the_old_file_whole(tmp_path: Path) -> None:
    def fail(temporary: Path) -> None:
        temporary.touch()
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    (tmp_path / "a.jpg").write_bytes(b"old")
    with pytest.raises(ImageError, match="cross-device") as caught:
        put(Output(tmp_path / "a.jpg", replace=True), fail)
    assert caught.value.kind == "write-failed"
    assert names(tmp_path) == ["a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == b"old"


def test_one_of_many_writers_wins(tmp_path: Path) -> None:
    def write(i: int) -> str:
        try:
            write_bytes(Output(tmp_path / "a.bin"), bytes([i]) * 5000)
        except ImageError as error:
            return error.kind
        return "written"

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(40))) == ["exists"] * 39 + ["written"]
    assert len(set((tmp_path / "a.bin").read_bytes())) == 1
    assert names(tmp_path) == ["a.bin"]


def test_rights_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_bytes(Output(tmp_path / "a.bin"), b"new")
    assert stat.filemode((tmp_path / "a.bin").stat().st_mode) == stat.filemode((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_leaves_nothing_behind_and_the_old_file_whole(tmp_path: Path, overwrite: bool) -> None:
    if overwrite:
        (tmp_path / "a.bin").write_bytes(b"old")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        kind = kind_of(tmp_path / "a.bin", bytes(100_000), replace=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kind == "write-failed"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert kind_of(tmp_path / "file/a.bin") == "write-failed"
    assert kind_of(tmp_path / "folder", replace=True) == "write-failed"
    assert kind_of(tmp_path / ("n" * 300)) == "write-failed"
    with pytest.raises(ImageError, match=r"too long.*another folder"):
        write_bytes(Output(tmp_path / ("n" * 300)), b"")
    assert names(tmp_path) == ["file", "folder"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_bytes(Output(tmp_path / ("n" * 255)), b"new")
    assert names(tmp_path) == ["n" * 255]


def test_a_png_keeps_every_pixel_and_a_jpeg_nearly(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(60) * 4, np.arange(40)[:, None] * 3
    for name, most in (("a.png", 0), ("a.JPG", 12)):
        write_drawing(Output(tmp_path / name), pixels)
        back = cv2.cvtColor(cv2.imread(str(tmp_path / name)), cv2.COLOR_BGR2RGB)
        assert np.abs(back.astype(int) - pixels).max() <= most


@pytest.mark.parametrize(("name", "width"), [("a.png", 1_000_001), ("a.jpg", 65_501)])
def test_more_pixels_than_a_format_takes(tmp_path: Path, name: str, width: int) -> None:
    with pytest.raises(ImageError, match=rf"{width} x 1 pixels") as caught:
        write_drawing(Output(tmp_path / name), np.zeros((1, width, 3), np.uint8))
    assert caught.value.kind == "write-failed"
    assert names(tmp_path) == []


def test_pixels_that_opencv_refuses(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        write_drawing(Output(tmp_path / "a.png"), np.zeros((0, 4, 3), np.uint8))
    assert caught.value.kind == "write-failed"


def test_memory_that_does_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise cv2.error("OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes")

    monkeypatch.setattr("cv2.cvtColor", fail)
    with pytest.raises(MemoryError):
        write_drawing(Output(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
