"""`attnimg enhance` as users and shells see it: every option, what is written, what is printed, how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from numpy.typing import NDArray
from PIL import Image, ImageCms

from attnimg.cli.enhance import EnhanceJob
from attnimg.errors import ImageError

Pipe = Callable[..., tuple[int, bytes, str]]
FORMATS = {"a.JPG": "JPEG", "b.jpeg": "JPEG", "c.webp": "WEBP", "d.TIFF": "TIFF", "e.bmp": "BMP", "sub/f.png": "PNG"}
LONG_AGO = 1_234_567_890.25
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def dark(seed: int = 0, width: int = 56, height: int = 40) -> Image.Image:
    """Return a dark, smooth photo with a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9 + seed), np.cos(y / 8), np.sin((x + y) / 11)], -1)
    return Image.fromarray(np.clip(24 + 16 * waves + rng.normal(0, 2, waves.shape), 0, 255).astype(np.uint8))


def pixels(path: Path) -> NDArray[np.float64]:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def records(out: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with a photo of each format, changed long ago."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for seed, (name, format_) in enumerate(FORMATS.items()):
        dark(seed).save(folder / name, format_)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


@pytest.fixture
def enhance(run: Run, night: Path) -> Run:
    return lambda *args: run("enhance", *args, "--model", night, "--device", "cpu")


@pytest.fixture
def pipe(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path, night: Path
) -> Iterator[Pipe]:
    """Run `attnimg enhance` in this process with bytes on stdin; returns exit status, stdout's bytes, stderr."""
    from attnimg.cli.main import main

    before, stdin = signal.getsignal(signal.SIGTERM), os.dup(0)

    def pipe(data: bytes, *args: object) -> tuple[int, bytes, str]:
        (tmp_path / "stdin").write_bytes(data)
        with (tmp_path / "stdin").open("rb") as file:
            os.dup2(file.fileno(), 0)
        monkeypatch.setattr(sys, "argv", ["attnimg", "enhance", *map(str, args), "--model", str(night)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsysbinary.readouterr()
        return int(end.value.code or 0), out, err.decode()

    yield pipe
    os.dup2(stdin, 0)
    os.close(stdin)
    signal.signal(signal.SIGTERM, before)


def test_photos_keep_name_format_size_and_time_and_get_bright(enhance: Run, photos: Path, tmp_path: Path) -> None:
    before = {name: (photos / name).read_bytes() for name in FORMATS}
    status, out, err = enhance(photos, "-o", tmp_path / "out")
    assert (status, err.splitlines()[-1]) == (0, "6 done, 0 skipped, 0 failed, 0 passed over")
    assert records(out) == [
        {"path": f"{photos}/{n}", "output": f"{tmp_path}/out/{n}", "model": "dim", "width": 56, "height": 40}
        for n in FORMATS
    ]
    assert files(tmp_path / "out") == files(photos) == sorted(FORMATS)
    for name, format_ in FORMATS.items():
        written = tmp_path / "out" / name
        assert (Image.open(written).format, Image.open(written).size) == (format_, (56, 40))
        assert written.stat().st_mtime == pytest.approx(LONG_AGO, abs=1e-6)
        assert pixels(written).mean() > 2 * pixels(photos / name).mean()
        assert (photos / name).read_bytes() == before[name]


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
def test_save_as_and_suffix(enhance: Run, photos: Path, tmp_path: Path, format_: str, name: str) -> None:
    source = photos / "sub" / "f.png"
    assert enhance(source, "-o", tmp_path / "out", "--save-as", format_, "--suffix", "-2")[0] == 0
    assert files(tmp_path / "out") == [name]
    assert Image.open(tmp_path / "out" / name).format == format_.upper()


@pytest.mark.parametrize("name", ["a.JPG", "c.webp"])
def test_quality(enhance: Run, photos: Path, tmp_path: Path, name: str) -> None:
    sizes = {}
    for quality in (30, 95, 100):
        assert enhance(photos / name, "-o", tmp_path / str(quality), "--quality", quality)[0] == 0
        sizes[quality] = (tmp_path / str(quality) / name).stat().st_size
    assert sizes[30] < sizes[95] < sizes[100]
    assert enhance(photos / name, "-o", tmp_path / "default")[0] == 0
    assert (tmp_path / "default" / name).stat().st_size == sizes[95]


def test_the_look(enhance: Run, photos: Path, tmp_path: Path) -> None:
    source = photos / "sub" / "f.png"

    def look(*options: object) -> NDArray[np.float64]:
        assert enhance(source, "-o", tmp_path / "out.png", "--overwrite", *options)[0] == 0
        return pixels(tmp_path / "out.png")

    before, whole = pixels(source), look()
    assert np.array_equal(look("--strength", 0), before)
    assert before.mean() < look("--strength", 0.5).mean() < whole.mean()
    assert look("--exposure", 0.2).mean() < look("--exposure", 0.6).mean()
    assert not np.array_equal(look("--denoise", 0), whole)
    assert np.array_equal(look("--strength", 1, "--denoise", 1, "--tile", "auto"), whole)


def test_tiles_leave_no_trace(enhance: Run, tmp_path: Path) -> None:
    dark(width=300, height=200).save(tmp_path / "a.png")
    for tile in ("64", "auto"):
        assert enhance(tmp_path / "a.png", "-o", tmp_path / tile, "--tile", tile)[0] == 0
    assert np.abs(pixels(tmp_path / "64" / "a.png") - pixels(tmp_path / "auto" / "a.png")).max() <= 1


def test_what_stands_beside_a_photo(enhance: Run, photos: Path, tmp_path: Path) -> None:
    output, source = tmp_path / "out", photos / "sub" / "f.png"
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


def test_a_photo_that_lacks_what_stands_beside_it_is_not_taken_for_done(
    enhance: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise ImageError("write-failed", "The disk is full. Make room.")

    args = (photos / "a.JPG", "-o", tmp_path / "out", "--side-by-side", "--skip-existing")
    with monkeypatch.context() as patch:
        patch.setattr("attnimg.images.draw.draw_beside", fail)
        assert enhance(*args)[0] == 1
    assert enhance(*args)[2].startswith("1 done")
    assert files(tmp_path / "out") == ["a.JPG", "a.compare.jpg"]


def test_records_as_csv_json_and_table(enhance: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    args = (photos / "a.JPG", photos / "empty.jpg", "--overwrite", "-o", tmp_path / "out", "--format")
    good, bad = csv.DictReader(io.StringIO(enhance(*args, "csv")[1]))
    written = f"{tmp_path}/out/a.JPG"
    assert list(good) == ["path", "output", "model", "width", "height", "kind", "message"]
    assert list(good.values()) == [f"{photos}/a.JPG", written, "dim", "56", "40", "", ""]
    assert (bad["path"], bad["output"], bad["kind"]) == (f"{photos}/empty.jpg", "", "damaged")

    done, failed = json.loads(enhance(*args, "json")[1])
    assert (done["output"], failed["error"]["kind"]) == (written, "damaged")

    head, line, failure = enhance(*args, "table")[1].splitlines()
    assert head.split() == ["path", "output", "width", "height"]
    assert len(line) == len(head)
    assert line.split()[-2:] == ["56", "40"]
    assert failure.endswith("The file is empty. Restore it from where it came.")


def test_photos_that_differ_by_their_ending_share_the_name_of_an_overlay(enhance: Run, tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        dark().save(tmp_path / name)
    both = (tmp_path / "a.jpg", tmp_path / "a.png")
    assert enhance(*both, "-o", tmp_path / "plain")[0] == 0
    status, out, _ = enhance(*both, "-o", tmp_path / "out", "--overlay")
    first, second = records(out)
    assert (status, first["output"], second["error"]["kind"]) == (1, f"{tmp_path}/out/a.jpg", "collision")
    assert files(tmp_path / "out") == ["a.jpg", "a.overlay.png"]


def test_a_single_photo_into_a_file(enhance: Run, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "bright.PNG"
    status, out, _ = enhance(photos / "a.JPG", "-o", output)
    assert (status, records(out)[0]["output"]) == (0, str(output))
    assert Image.open(output).format == "PNG"
    assert output.stat().st_mtime == pytest.approx(LONG_AGO, abs=1e-6)

    status, out, err = enhance(photos / "a.JPG", photos / "b.jpeg", "-o", tmp_path / "both.jpg")
    assert (status, out) == (2, "")
    assert "takes one photo, and 2 were found" in err
    assert not (tmp_path / "both.jpg").exists()

    (tmp_path / "album.jpg").mkdir()  # a folder, whatever its name
    assert enhance(photos / "a.JPG", photos / "b.jpeg", "-o", tmp_path / "album.jpg")[0] == 0
    assert files(tmp_path / "album.jpg") == ["a.JPG", "b.jpeg"]


def test_stdin_to_stdout_is_the_photo_alone(pipe: Pipe, photos: Path) -> None:
    for name in ("a.JPG", "sub/f.png"):
        status, out, err = pipe((photos / name).read_bytes(), "-", "-o", "-")
        assert (status, err) == (0, "1 done, 0 skipped, 0 failed, 0 passed over\n")
        image = Image.open(io.BytesIO(out))
        assert (image.format, image.size) == (FORMATS[name], (56, 40))
    status, out, _ = pipe(b"", photos / "a.JPG", "-o", "-", "--save-as", "webp")
    assert (status, Image.open(io.BytesIO(out)).format) == (0, "WEBP")


def test_stdin_to_a_folder(pipe: Pipe, photos: Path, tmp_path: Path) -> None:
    status, out, _ = pipe((photos / "a.JPG").read_bytes(), "-", "-o", tmp_path / "out")
    assert (status, json.loads(out)["output"]) == (0, f"{tmp_path}/out/stdin.jpg")
    assert files(tmp_path / "out") == ["stdin.jpg"]


def test_stdout_takes_exactly_one_photo_that_is_whole(pipe: Pipe, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for status, said, inputs in (
        (1, "-: The file is empty.", ["-"]),
        (1, "gone.jpg: There is no such file", [tmp_path / "gone.jpg"]),
        (2, "takes one photo, and 2 were found", [photos / "a.JPG", photos / "b.jpeg"]),
        (3, "No image was found", [tmp_path / "empty"]),
    ):
        found, out, err = pipe(b"", *inputs, "-o", "-")
        assert (found, out) == (status, b"")
        assert said in err


def test_outputs_of_earlier_runs(enhance: Run, photos: Path, tmp_path: Path) -> None:
    args = (photos / "a.JPG", photos / "sub", "-o", tmp_path / "out")
    assert enhance(*args)[0] == 0
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "a.JPG")
    mine = (tmp_path / "out" / "a.JPG").read_bytes()

    status, out, _ = enhance(*args)
    assert (status, [r["error"]["kind"] for r in records(out)]) == (1, ["exists", "exists"])
    status, out, err = enhance(*args, "--skip-existing")
    assert (status, err.splitlines()[-1]) == (0, "0 done, 2 skipped, 0 failed, 0 passed over")
    assert records(out)[0] == {"path": f"{photos}/a.JPG", "output": f"{tmp_path}/out/a.JPG", "skipped": True}
    assert (tmp_path / "out" / "a.JPG").read_bytes() == mine

    (tmp_path / "out" / "a.JPG").write_bytes(mine[:-10])  # what does not open is not done
    status, _, err = enhance(*args, "--skip-existing")
    assert (status, err.splitlines()[-1]) == (0, "1 done, 1 skipped, 0 failed, 0 passed over")
    whole = (tmp_path / "out" / "a.JPG").read_bytes()
    assert whole not in (mine, mine[:-10])

    (tmp_path / "out" / "a.JPG").write_bytes(mine)
    assert enhance(*args, "--overwrite")[0] == 0
    assert (tmp_path / "out" / "a.JPG").read_bytes() == whole


@pytest.mark.parametrize("into", ["", "a.JPG"])
def test_no_input_is_ever_overwritten(enhance: Run, photos: Path, into: str) -> None:
    before = (photos / "a.JPG").read_bytes()
    status, out, _ = enhance(photos / "a.JPG", "-o", photos / into, "--overwrite")
    assert (status, records(out)[0]["error"]["kind"]) == (1, "exists")
    assert (photos / "a.JPG").read_bytes() == before


def test_a_dry_run_names_every_file_and_writes_none(enhance: Run, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    status, out, err = enhance(photos / "a.JPG", "-o", output, "--dry-run", "--overlay", "--side-by-side")
    plan = [f"{photos}/a.JPG -> {output}/{name}" for name in ("a.JPG", "a.overlay.png", "a.compare.jpg")]
    assert (status, out.splitlines()) == (0, plan)
    assert err == "A dry run: 1 done, 0 skipped, 0 failed, 0 passed over.\n"
    assert enhance(photos / "a.JPG", "-o", "-", "--dry-run")[1] == f"{photos}/a.JPG -> -\n"
    assert not output.exists()


def test_root_keeps_the_paths(enhance: Run, photos: Path, tmp_path: Path) -> None:
    assert enhance(photos / "a.JPG", photos / "sub", "-o", tmp_path / "out", "--root", photos)[0] == 0
    assert files(tmp_path / "out") == ["a.JPG", "sub/f.png"]


def test_a_photo_that_goes_away_meanwhile_is_written_all_the_same(
    enhance: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = EnhanceJob.predict

    def remove_and_predict(job: EnhanceJob, batch: list[object]) -> object:
        (photos / "a.JPG").unlink()
        return predict(job, batch)

    monkeypatch.setattr(EnhanceJob, "predict", remove_and_predict)
    assert enhance(photos / "a.JPG", "-o", tmp_path / "out")[0] == 0
    assert files(tmp_path / "out") == ["a.JPG"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("x.jpg",), "-o DIR"),
        ((), "nothing to look at"),
        (("x.jpg", "-o", "-", "--overlay"), "name a folder"),
        (("x.jpg", "-o", "-", "--side-by-side"), "name a folder"),
        (("x.jpg", "-o", "-", "--suffix", "-2"), "--suffix"),
        (("x.jpg", "-o", "y.jpg", "--suffix", "-2"), "--suffix"),
        (("x.jpg", "-o", "out", "--suffix", "a/b"), "choose the folder with -o"),
        (("x.jpg", "-o", "y.gif"), "cannot be written"),
        (("x.jpg", "-o", "y.png", "--save-as", "jpeg"), "contradicts -o y.png"),
        (("x.jpg", "-o", __file__), "is no folder"),
        (("x.jpg", "-o", "out", "--tile", "10"), "at least 64"),
        (("x.jpg", "-o", "out", "--tile", "large"), "at least 64"),
        (("x.jpg", "-o", "out", "--overwrite", "--skip-existing"), "contradict"),
        (("x.jpg", "-o", "out", "--strength", "1.5"), "--strength"),
        (("x.jpg", "-o", "out", "--exposure", "-1"), "--exposure"),
        (("x.jpg", "-o", "out", "--denoise", "2"), "--denoise"),
        (("x.jpg", "-o", "out", "--quality", "0"), "--quality"),
        (("x.jpg", "-o", "out", "--save-as", "gif"), "--save-as"),
    ],
)
def test_wrong_usage_is_2_and_names_the_way(enhance: Run, args: tuple[str, ...], said: str) -> None:
    status, out, err = enhance(*args)
    assert (status, out) == (2, "")
    assert said in err


def test_models_that_are_not_there_or_for_another_task_are_4(
    run: Run, photos: Path, model: Path, night: Path, tmp_path: Path
) -> None:
    args = ("enhance", photos, "-o", tmp_path / "out", "--model")
    assert run(*args, "no-such-model")[0] == run(*args, "no-such-model", "--dry-run")[0] == 4
    for command in ((*args, model), ("classify", photos, "--model", night)):
        status, out, err = run(*command)
        assert (status, out) == (4, "")
        assert "`attnimg models` lists all" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["enhance", "classify"])
def test_fine_tuning_finds_its_recipe(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    module = {"enhance": "train_enhancer", "classify": "train_classifier"}[command]
    recipes: list[str] = []
    monkeypatch.setattr(f"attnimg.training.{module}.{module}", lambda recipe, *_, **__: recipes.append(recipe.name))
    assert run("train", command, tmp_path, "-o", tmp_path / "run", "--from", "x", "--device", "cpu")[0] == 0
    assert recipes == ["finetune"]


def test_python_has_the_same_enhancer(night: Path) -> None:
    import attnimg

    enhance = attnimg.load("enhance", model=str(night), device="cpu", tile=64)
    bright = enhance(dark())
    assert (bright.shape, bright.dtype) == ((40, 56, 3), np.uint8)
    assert np.array_equal(enhance([np.asarray(dark()), dark(1)])[0], bright)
    with pytest.raises(ValueError, match="segment and enhance"):
        attnimg.load("paint")  # type: ignore[call-overload]
