"""Photos that are odd, and ones that are broken: each has its record, no half file is left, all others are done."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.bad_photos import bomb, photo
from helpers.results import Run
from PIL import Image


def enhance(run: Run, model: Path, *args: object) -> tuple[int, dict[str, Any], str]:
    """Run the command; returns exit status, records by name, stderr."""
    status, out, err = run("enhance", *args, "--model", model, "--device", "cpu")
    assert "Traceback" not in err
    return status, {Path(r["path"]).name: r for r in map(json.loads, out.splitlines())}, err


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if not p.is_dir())


def kinds(records: dict[str, Any]) -> dict[str, str]:
    return {name: r["error"]["kind"] for name, r in records.items() if "error" in r}


@pytest.mark.slow
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (9000, 7), (7, 9000), (17, 33)], ids=str)
def test_odd_sizes(run: Run, night: Path, tmp_path: Path, size: tuple[int, int], depth: type) -> None:
    (tmp_path / "in").mkdir()
    gray = np.random.default_rng(0).integers(0, np.iinfo(depth).max // 5, (*size, 3), depth)
    for name in ("a.png", "b.tif"):
        assert cv2.imwrite(str(tmp_path / "in" / name), gray)
    out = tmp_path / "out"
    status, records, _ = enhance(run, night, tmp_path / "in", "-o", out, "--overlay", "--exclude", "b.tif")
    assert (status, records["a.png"]["width"], records["a.png"]["height"]) == (0, size[1], size[0])
    assert Image.open(out / "a.overlay.png").size == size[::-1]
    assert enhance(run, night, tmp_path / "in" / "b.tif", "-o", out)[0] == 0
    for name in ("a.png", "b.tif"):
        written = cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED)
        assert (written.shape, written.dtype) == (gray.shape, depth)
        assert written.mean() > gray.mean()


@pytest.mark.parametrize("value", [0, 255])
def test_pure_black_and_pure_white(run: Run, night: Path, tmp_path: Path, value: int) -> None:
    Image.new("RGB", (40, 30), (value,) * 3).save(tmp_path / "a.png")
    for options in ((), ("--exposure", 0.5)):
        out = tmp_path / f"out{len(options)}"
        assert enhance(run, night, tmp_path / "a.png", "-o", out, "--overlay", *options)[0] == 0
        assert np.isfinite(np.asarray(Image.open(out / "a.png"), float)).all()
        assert Image.open(out / "a.png").size == (40, 30)


def test_a_transparent_photo_keeps_what_is_clear(run: Run, night: Path, tmp_path: Path) -> None:
    image = photo(0).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "a.png")
    assert enhance(run, night, tmp_path / "a.png", "-o", tmp_path / "out")[0] == 0
    written = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert np.array_equal(written[..., 3], np.asarray(image)[..., 3])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three good photos, two of them under names that are hard to handle."""
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(["a.jpg", "e\x1b[31m\n.jpg", os.fsdecode(b"caf\xe9.jpg")]):
        photo(seed).save(tmp_path / "in" / name)
    return tmp_path / "in"


def test_what_is_damaged_takes_no_name_but_its_own(run: Run, night: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").touch()
    photo(0).save(tmp_path / "in" / "a.png")
    _, records, _ = enhance(run, night, tmp_path / "in", "-o", tmp_path / "out")
    assert kinds(records) == {"a.jpg": "damaged"}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # the command says it in the record
def test_each_bad_file_has_its_record_and_the_others_are_done(
    run: Run, night: Path, folder: Path, tmp_path: Path
) -> None:
    good = files(folder)
    whole = (folder / "a.jpg").read_bytes()
    floats = np.full((20, 30, 3), np.nan, np.float32)
    assert cv2.imwrite(str(folder / "nan.tif"), floats)
    assert cv2.imwrite(str(folder / "nan-gray.tif"), floats[..., 0])
    assert cv2.imwrite(str(folder / "double.tif"), floats.astype(np.float64))
    assert cv2.imwrite(str(folder / "signed.tif"), floats.view(np.int16)[:, :, ::2].copy())
    (folder / "cut-floats.tif").write_bytes((folder / "nan.tif").read_bytes()[:500])
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "notes.txt").write_text("left alone")

    status, records, err = enhance(run, night, folder, "-o", tmp_path / "out", "--overlay")
    assert status == 1
    assert kinds(records) == {
        **dict.fromkeys(["nan.tif", "nan-gray.tif", "double.tif", "signed.tif", "text.jpg"], "unsupported"),
        **dict.fromkeys(["cut.jpg", "cut-floats.tif", "empty.png"], "damaged"),
        "bomb.png": "too-large",
        "gone.jpg": "missing",
    }
    assert "Convert it to RGB or gray of 8 or 16 bits." in records["nan.tif"]["error"]["message"]
    assert all(r["error"]["message"].endswith(".") for r in records.values() if "error" in r)
    assert err.splitlines()[-1] == "3 done, 0 skipped, 10 failed, 1 passed over"
    assert files(tmp_path / "out") == sorted(good + [f"{Path(name).stem}.overlay.png" for name in good])


def test_names_come_through_whole(run: Run, night: Path, folder: Path, tmp_path: Path) -> None:
    _, records, _ = enhance(run, night, folder, "-o", tmp_path / "out")
    assert files(tmp_path / "out") == files(folder)
    assert {"path_b64", "output_b64"} < records[os.fsdecode(b"caf\xe9.jpg")].keys()
    _, out, _ = run("enhance", folder, "-o", tmp_path / "2", "--model", night, "--format", "table")
    assert "\x1b" not in out
    assert len(out.splitlines()) == 4


def test_a_full_disk_leaves_no_half_file(run: Run, night: Path, folder: Path, tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 60, (200, 200, 3), np.uint8)
    Image.fromarray(large).save(folder / "large.png")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        status, records, err = enhance(run, night, folder, "-o", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (status, kinds(records)) == (1, {"large.png": "write-failed"})
    assert "Make room" in records["large.png"]["error"]["message"]
    assert err.splitlines()[-1] == "3 done, 0 skipped, 1 failed, 0 passed over"
    assert files(tmp_path / "out") == [name for name in files(folder) if name != "large.png"]


def test_a_file_where_a_folder_must_be(run: Run, night: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    photo(5).save(folder / "sub" / "b.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").write_text("in the way")
    status, records, _ = enhance(run, night, folder, "-o", tmp_path / "out")
    assert (status, kinds(records)) == (1, {"b.png": "write-failed"})
    assert (tmp_path / "out" / "sub").read_text() == "in the way"
    assert len(files(tmp_path / "out")) == 4


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no folder that nobody may write into")
def test_a_folder_that_cannot_be_made(run: Run, night: Path, folder: Path) -> None:
    status, records, err = enhance(run, night, folder, "-o", "/proc/attnimg")
    assert (status, set(kinds(records).values())) == (1, {"write-failed"})
    assert err.splitlines()[-1] == "0 done, 0 skipped, 3 failed, 0 passed over"


def test_a_format_that_takes_no_such_side(run: Run, night: Path, tmp_path: Path) -> None:
    Image.new("RGB", (16_400, 2)).save(tmp_path / "long.png")
    status, records, _ = enhance(run, night, tmp_path / "long.png", "-o", tmp_path / "out", "--save-as", "webp")
    assert (status, kinds(records)) == (1, {"long.png": "write-failed"})
    assert "16383 pixels" in records["long.png"]["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_more_pixels_than_are_allowed(run: Run, night: Path, folder: Path, tmp_path: Path) -> None:
    status, records, _ = enhance(run, night, folder / "a.jpg", "-o", tmp_path / "out", "--max-pixels", 100)
    assert (status, kinds(records)) == (1, {"a.jpg": "too-large"})
    assert "--max-pixels" in records["a.jpg"]["error"]["message"]
