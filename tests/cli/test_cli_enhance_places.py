"""Where `attnimg enhance` reads and writes, what it leaves alone, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.dark_photos import FORMATS, LONG_AGO
from helpers.results import Run, files, records
from PIL import Image

from attnimg.jobs.enhance.job import EnhanceJob

Pipe = Callable[..., tuple[int, bytes, str]]


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


def test_a_single_photo_into_a_file(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "bright.PNG"
    status, out, _ = enhance(each_format / "a.JPG", "-o", output)
    assert (status, records(out)[0]["output"]) == (0, str(output))
    assert Image.open(output).format == "PNG"
    assert output.stat().st_mtime == pytest.approx(LONG_AGO, abs=1e-6)

    status, out, err = enhance(each_format / "a.JPG", each_format / "b.jpeg", "-o", tmp_path / "both.jpg")
    assert (status, out) == (2, "")
    assert "takes one image, and 2 were found" in err
    assert not (tmp_path / "both.jpg").exists()

    (tmp_path / "album.jpg").mkdir()  # a folder, whatever its name
    assert enhance(each_format / "a.JPG", each_format / "b.jpeg", "-o", tmp_path / "album.jpg")[0] == 0
    assert files(tmp_path / "album.jpg") == ["a.JPG", "b.jpeg"]


def test_stdin_to_stdout_is_the_photo_alone(pipe: Pipe, each_format: Path) -> None:
    for name in ("a.JPG", "sub/f.png"):
        status, out, err = pipe((each_format / name).read_bytes(), "-", "-o", "-")
        assert (status, err) == (0, "1 done, 0 skipped, 0 failed, 0 passed over\n")
        image = Image.open(io.BytesIO(out))
        assert (image.format, image.size) == (FORMATS[name], (56, 40))
    status, out, _ = pipe(b"", each_format / "a.JPG", "-o", "-", "--save-as", "webp")
    assert (status, Image.open(io.BytesIO(out)).format) == (0, "WEBP")


def test_what_stdout_does_not_hold_is_told_on_stderr(pipe: Pipe) -> None:
    seen_through = io.BytesIO()
    Image.new("RGBA", (32, 32), (9, 9, 9, 128)).save(seen_through, "PNG")
    status, out, err = pipe(seen_through.getvalue(), "-", "-o", "-", "--save-as", "jpeg")
    assert (status, Image.open(io.BytesIO(out)).format) == (0, "JPEG")
    note, counts = err.splitlines()
    assert note.startswith("-: its transparency became white")
    assert counts == "1 done, 0 skipped, 0 failed, 0 passed over"


def test_stdin_to_a_folder(pipe: Pipe, each_format: Path, tmp_path: Path) -> None:
    status, out, _ = pipe((each_format / "a.JPG").read_bytes(), "-", "-o", tmp_path / "out")
    assert (status, json.loads(out)["output"]) == (0, f"{tmp_path}/out/stdin.jpg")
    assert files(tmp_path / "out") == ["stdin.jpg"]


def test_stdout_takes_exactly_one_photo_that_is_whole(pipe: Pipe, each_format: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for status, said, inputs in (
        (1, "-: The file is empty.", ["-"]),
        (1, "gone.jpg: There is no such file", [tmp_path / "gone.jpg"]),
        (2, "takes one image, and 2 were found", [each_format / "a.JPG", each_format / "b.jpeg"]),
        (3, "No image was found", [tmp_path / "empty"]),
    ):
        found, out, err = pipe(b"", *inputs, "-o", "-")
        assert (found, out) == (status, b"")
        assert said in err


def test_outputs_of_earlier_runs(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    args = (each_format / "a.JPG", each_format / "sub", "-o", tmp_path / "out")
    assert enhance(*args)[0] == 0
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "a.JPG")
    mine = (tmp_path / "out" / "a.JPG").read_bytes()

    status, out, _ = enhance(*args)
    assert (status, [r["error"]["kind"] for r in records(out)]) == (1, ["exists", "exists"])
    status, out, err = enhance(*args, "--skip-existing")
    assert (status, err.splitlines()[-1]) == (0, "0 done, 2 skipped, 0 failed, 0 passed over")
    assert records(out)[0] == {"path": f"{each_format}/a.JPG", "output": f"{tmp_path}/out/a.JPG", "skipped": True}
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
def test_no_input_is_ever_overwritten(enhance: Run, each_format: Path, into: str) -> None:
    before = (each_format / "a.JPG").read_bytes()
    status, out, _ = enhance(each_format / "a.JPG", "-o", each_format / into, "--overwrite")
    assert (status, records(out)[0]["error"]["kind"]) == (1, "exists")
    assert (each_format / "a.JPG").read_bytes() == before


def test_a_dry_run_names_every_file_and_writes_none(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    status, out, err = enhance(each_format / "a.JPG", "-o", output, "--dry-run", "--overlay", "--side-by-side")
    plan = [f"{each_format}/a.JPG -> {output}/{name}" for name in ("a.JPG", "a.overlay.png", "a.compare.jpg")]
    assert (status, out.splitlines()) == (0, plan)
    assert err == "A dry run: 1 done, 0 skipped, 0 failed, 0 passed over.\n"
    assert enhance(each_format / "a.JPG", "-o", "-", "--dry-run")[1] == f"{each_format}/a.JPG -> -\n"
    assert not output.exists()


def test_root_keeps_the_paths(enhance: Run, each_format: Path, tmp_path: Path) -> None:
    assert enhance(each_format / "a.JPG", each_format / "sub", "-o", tmp_path / "out", "--root", each_format)[0] == 0
    assert files(tmp_path / "out") == ["a.JPG", "sub/f.png"]


def test_a_photo_that_goes_away_meanwhile_is_written_all_the_same(
    enhance: Run, each_format: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = EnhanceJob.predict

    def remove_and_predict(job: EnhanceJob, batch: list[object]) -> object:
        (each_format / "a.JPG").unlink()
        return predict(job, batch)

    monkeypatch.setattr(EnhanceJob, "predict", remove_and_predict)
    assert enhance(each_format / "a.JPG", "-o", tmp_path / "out")[0] == 0
    assert files(tmp_path / "out") == ["a.JPG"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("x.jpg",), "-o DIR"),
        ((), "No input is given"),
        (("x.jpg", "-o", "-", "--overlay"), "name a folder"),
        (("x.jpg", "-o", "-", "--side-by-side"), "name a folder"),
        (("x.jpg", "-o", "-", "--suffix", "-2"), "--suffix"),
        (("x.jpg", "-o", "y.jpg", "--suffix", "-2"), "--suffix"),
        (("x.jpg", "-o", "out", "--suffix", "a/b"), "choose the folder with -o"),
        (("x.jpg", "-o", "y.gif"), "Cannot write y.gif"),
        (("x.jpg", "-o", "y.png", "--save-as", "jpeg"), "contradicts -o y.png"),
        (("x.jpg", "-o", __file__), "is not a folder"),
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
    run: Run, each_format: Path, model: Path, night: Path, tmp_path: Path
) -> None:
    args = ("enhance", each_format, "-o", tmp_path / "out", "--model")
    assert run(*args, "no-such-model")[0] == run(*args, "no-such-model", "--dry-run")[0] == 4
    for command in ((*args, model), ("classify", each_format, "--model", night)):
        status, out, err = run(*command)
        assert (status, out) == (4, "")
        assert "`attnimg models` lists all" in err
    assert not (tmp_path / "out").exists()
