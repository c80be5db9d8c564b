"""`attnimg enhance` as users see it: each_format, their looks, what stands beside them, and records of both."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.dark_photos import FORMATS, LONG_AGO, dark
from helpers.icc_profiles import P3, make_profile
from helpers.results import Run, files, records
from numpy.typing import NDArray
from PIL import Image, ImageCms

from attnimg.errors import ImageError, UsageError
from attnimg.jobs.enhance import job

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(path: Path) -> NDArray[np.float64]:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def test_photos_keep_name_format_size_and_time_and_get_bright(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    before = {name: (each_format / name).read_bytes() for name in FORMATS}
    status, out, err = enhance(each_format, "-o", tmp_path / "out")
    assert (status, err.splitlines()[-1]) == (0, "6 done, 0 skipped, 0 failed, 0 passed over")
    assert records(out) == [
        {"path": f"{each_format}/{n}", "output": f"{tmp_path}/out/{n}", "model": "dim", "width": 56, "height": 40}
        for n in FORMATS
    ]
    assert files(tmp_path / "out") == files(each_format) == sorted(FORMATS)
    for name, format_ in FORMATS.items():
        written = tmp_path / "out" / name
        assert (Image.open(written).format, Image.open(written).size) == (format_, (56, 40))
        assert written.stat().st_mtime == pytest.approx(LONG_AGO, abs=1e-6)
        assert pixels(written).mean() > 2 * pixels(each_format / name).mean()
        assert (each_format / name).read_bytes() == before[name]


def test_a_format_that_is_not_written_becomes_png(enhance: Run, tmp_path: Path) -> None:
    dark().save(tmp_path / "old.gif")
    dark().save(tmp_path / "lies.jpg", "PNG")
    for name, output in (("old.gif", "old.png"), ("lies.jpg", "lies.png")):
        assert enhance(tmp_path / name, "-o", tmp_path / "out")[0] == 0
        assert Image.open(tmp_path / "out" / output).format == "PNG"


@pytest.mark.parametrize("strip", [False, True])
def test_metadata_stay_unless_stripped(enhance: Run, tmp_path: Path, strip: bool) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    dark().save(tmp_path / "a.jpg", exif=exif, icc_profile=SRGB, xmp=b"<x/>")
    assert enhance(tmp_path / "a.jpg", "-o", tmp_path / "out", *["--strip"] * strip)[0] == 0
    image = Image.open(tmp_path / "out" / "a.jpg")
    assert image.size == (40, 56)
    found = dict(image.getexif()), image.info.get("icc_profile"), image.info.get("xmp")
    assert found == (({}, None, None) if strip else ({0x010F: "Maker"}, SRGB, b"<x/>"))


@pytest.mark.parametrize(
    ("format_", "name"), [("jpeg", "f-2.jpg"), ("png", "f-2.png"), ("webp", "f-2.webp"), ("tiff", "f-2.tif")]
)
def test_save_as_and_suffix(enhance: Run, each_format: Path, tmp_path: Path, format_: str, name: str) -> None:
    source = each_format / "sub" / "f.png"
    assert enhance(source, "-o", tmp_path / "out", "--save-as", format_, "--suffix", "-2")[0] == 0
    assert files(tmp_path / "out") == [name]
    assert Image.open(tmp_path / "out" / name).format == format_.upper()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.JPG", "c.webp"])
def test_quality(enhance: Run, each_format: Path, tmp_path: Path, name: str) -> None:
    sizes = {}
    for quality in (30, 95, 100):
        assert enhance(each_format / name, "-o", tmp_path / str(quality), "--quality", quality)[0] == 0
        sizes[quality] = (tmp_path / str(quality) / name).stat().st_size
    assert sizes[30] < sizes[95] < sizes[100]
    assert enhance(each_format / name, "-o", tmp_path / "default")[0] == 0
    assert (tmp_path / "default" / name).stat().st_size == sizes[95]


@pytest.mark.slow
def test_the_look(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    source = each_format / "sub" / "f.png"

    def look(*options: object) -> NDArray[np.float64]:
        assert enhance(source, "-o", tmp_path / "out.png", "--overwrite", *options)[0] == 0
        return pixels(tmp_path / "out.png")

    before, whole = pixels(source), look()
    assert np.array_equal(look("--strength", 0), before)
    assert before.mean() < look("--strength", 0.5).mean() < whole.mean()
    assert look("--exposure", 0.2).mean() < look("--exposure", 0.6).mean()
    assert not np.array_equal(look("--denoise", 0), whole)
    assert np.array_equal(look("--strength", 1, "--denoise", 1, "--tile", "auto"), whole)


def test_no_strength_leaves_colors_that_srgb_cannot_hold(enhance: Run, tmp_path: Path) -> None:
    wide = np.zeros((40, 60, 3), np.uint8)
    wide[:20, ..., 1], wide[20:, ..., 0] = 240, 240
    Image.fromarray(wide).save(tmp_path / "a.png", icc_profile=make_profile(2.2, P3))
    assert enhance(tmp_path / "a.png", "-o", tmp_path / "out", "--strength", 0)[0] == 0
    assert np.array_equal(pixels(tmp_path / "out" / "a.png"), wide)


@pytest.mark.slow
def test_tiles_leave_no_trace(enhance: Run, tmp_path: Path) -> None:
    dark(width=300, height=200).save(tmp_path / "a.png")
    for tile in ("64", "auto"):
        assert enhance(tmp_path / "a.png", "-o", tmp_path / tile, "--tile", tile)[0] == 0
    assert np.abs(pixels(tmp_path / "64" / "a.png") - pixels(tmp_path / "auto" / "a.png")).max() <= 1


def test_what_stands_beside_a_photo(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    output, source = tmp_path / "out", each_format / "sub" / "f.png"
    _, out, _ = enhance(source, "-o", output, "--overlay", "--side-by-side")
    assert files(output) == ["f.compare.jpg", "f.overlay.png", "f.png"]
    (record,) = records(out)
    assert (record["overlay"], record["compare"]) == (f"{output}/f.overlay.png", f"{output}/f.compare.jpg")
    assert Image.open(output / "f.overlay.png").size == (56, 40)
    compare = pixels(output / "f.compare.jpg")
    assert compare[:, :56].mean() == pytest.approx(pixels(source).mean(), abs=2)
    assert compare[:, -56:].mean() == pytest.approx(pixels(output / "f.png").mean(), abs=2)
    assert (compare[:, 60] > 240).all()

    # They go by the name that the photo gets.
    assert enhance(source, "-o", tmp_path / "one" / "night.png", "--overlay", "--side-by-side")[0] == 0
    assert files(tmp_path / "one") == ["night.compare.jpg", "night.overlay.png", "night.png"]


def test_a_comparison_that_jpeg_does_not_hold_is_scaled_down(enhance: Run, tmp_path: Path) -> None:
    Image.new("RGB", (33_000, 16), (9, 9, 9)).save(tmp_path / "a.png")
    status, out, _ = enhance(tmp_path / "a.png", "-o", tmp_path / "out", "--side-by-side")
    assert status == 0
    assert records(out)[0]["note"] == "its comparison was scaled down to the largest size of JPEG"
    assert Image.open(tmp_path / "out" / "a.compare.jpg").size == (65_500, 16)
    assert Image.open(tmp_path / "out" / "a.png").size == (33_000, 16)


def test_a_photo_that_lacks_what_stands_beside_it_is_not_taken_for_done(
    enhance: Run, each_format: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise ImageError("write-failed", "The disk is full. Make room.")

    args = (each_format / "a.JPG", "-o", tmp_path / "out", "--side-by-side", "--skip-existing")
    with monkeypatch.context() as patch:
        patch.setattr(job, "draw_side_by_side", fail)
        assert enhance(*args)[0] == 1
    assert enhance(*args)[2].startswith("1 done")
    assert files(tmp_path / "out") == ["a.JPG", "a.compare.jpg"]


def test_records_as_csv_json_and_table(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    (each_format / "empty.jpg").write_bytes(b"")
    args = (each_format / "a.JPG", each_format / "empty.jpg", "--overwrite", "-o", tmp_path / "out", "--format")
    good, bad = csv.DictReader(io.StringIO(enhance(*args, "csv")[1]))
    written = f"{tmp_path}/out/a.JPG"
    assert list(good) == ["path", "output", "model", "width", "height", "kind", "message"]
    assert list(good.values()) == [f"{each_format}/a.JPG", written, "dim", "56", "40", "", ""]
    assert (bad["path"], bad["output"], bad["kind"]) == (f"{each_format}/empty.jpg", "", "damaged")

    done, failed = json.loads(enhance(*args, "json")[1])
    assert (done["output"], failed["error"]["kind"]) == (written, "damaged")

    head, line, failure = enhance(*args, "table")[1].splitlines()
    assert head.split() == ["path", "output", "width", "height"]
    assert len(line) == len(head)
    assert line.split()[-2:] == ["56", "40"]
    assert failure.endswith(failed["error"]["message"])


def test_photos_that_differ_by_their_ending_share_the_name_of_an_overlay(enhance: Run, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        dark().save(tmp_path / name)
    both = (tmp_path / "a.jpg", tmp_path / "a.png")
    assert enhance(*both, "-o", tmp_path / "plain")[0] == 0
    status, out, _ = enhance(*both, "-o", tmp_path / "out", "--overlay")
    first, second = records(out)
    assert (status, first["output"], second["error"]["kind"]) == (1, f"{tmp_path}/out/a.jpg", "collision")
    assert files(tmp_path / "out") == ["a.jpg", "a.overlay.png"]


def test_python_has_the_same_enhancer(night: Path) -> None:
    import attnimg

    enhance = attnimg.load("enhance", model=str(night), device="cpu", tile=64)
    bright = enhance(dark())
    assert (bright.shape, bright.dtype) == ((40, 56, 3), np.uint8)
    assert np.array_equal(enhance([np.asarray(dark()), dark(1)])[0], bright)
    with pytest.raises(UsageError, match="segment, enhance"):
        attnimg.load("paint")
