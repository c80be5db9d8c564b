"""Where `attnimg segment` writes, what it leaves alone, and what it refuses."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.by_color import TREE
from helpers.results import Run, files, records
from PIL import Image

from attnimg.labels import VOID


def test_a_single_photo_into_a_file(segment: Run, painted: Path, tmp_path: Path) -> None:
    status, out, _ = segment(painted / "a.png", "-o", tmp_path / "new" / "mask.PNG", "--preview")
    assert (status, records(out)[0]["output"]) == (0, f"{tmp_path}/new/mask.PNG")
    assert files(tmp_path / "new") == ["mask.PNG", "mask.preview.jpg"]


def test_a_single_photo_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], painted: Path, lane: Path
) -> None:
    from attnimg.cli.main import main

    for name, status in (("a.png", 0), ("gone.png", 1)):
        argv = ["attnimg", "segment", str(painted / name), "-o", "-", "--only", "tree", "--model", str(lane)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsysbinary.readouterr()
        assert int(end.value.code or 0) == status
        if status:
            assert (out, b"no such file" in err) == (b"", True)
        else:
            assert set(np.unique(np.asarray(Image.open(io.BytesIO(out))))) == {TREE, VOID}


def test_outputs_of_earlier_runs(segment: Run, painted: Path, tmp_path: Path) -> None:
    args = (painted, "-o", tmp_path / "out", "--preview")
    assert segment(*args)[0] == 0
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "a.png")
    mine = (tmp_path / "out" / "a.png").read_bytes()
    assert [r["error"]["kind"] for r in records(segment(*args)[1])] == ["exists"] * 2
    status, out, _ = segment(*args, "--skip-existing")
    assert (status, [r["skipped"] for r in records(out)]) == (0, [True, True])
    assert (tmp_path / "out" / "a.png").read_bytes() == mine
    assert segment(*args, "--overwrite")[0] == 0
    assert Image.open(tmp_path / "out" / "a.png").mode == "P"


def test_no_input_is_ever_overwritten(segment: Run, painted: Path) -> None:
    before = (painted / "a.png").read_bytes()
    for output in (painted, painted / "a.png"):
        status, out, _ = segment(painted / "a.png", "-o", output, "--overwrite")
        assert (status, records(out)[0]["error"]["kind"]) == (1, "exists")
    os.link(painted / "a.png", painted / "table.csv")
    status, _, err = segment(
        painted / "table.csv", "-o", painted / "out", "--summary", painted / "table.csv", "--overwrite"
    )
    assert status == 2
    assert "inputs are never overwritten" in err
    assert (painted / "a.png").read_bytes() == before


def test_a_dry_run_names_every_file_and_writes_none(segment: Run, painted: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    extras = ("--overlay", "--preview", "--cutout", "sky", "--polygons", "--only", "sky", "--scores")
    status, out, _ = segment(painted / "a.png", "-o", output, "--dry-run", *extras, "--summary", tmp_path / "all.csv")
    endings = (".png", ".overlay.png", ".preview.jpg", ".cutout.png", ".polygons.geojson", ".sky.scores.png")
    plan = [*(f"{painted}/a.png -> {output}/a{ending}" for ending in endings), f"all -> {tmp_path}/all.csv"]
    assert (status, out.splitlines()) == (0, plan)
    assert segment(painted / "a.png", "-o", "-", "--dry-run")[1] == f"{painted}/a.png -> -\n"
    assert not output.exists()


def test_a_dry_run_goes_by_the_mask(segment: Run, painted: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    args = (painted, "-o", output, "--preview", "--skip-existing")
    assert segment(*args)[0] == 0
    (output / "a.preview.jpg").unlink()
    (output / "sub" / "b.png").unlink()
    _, out, err = segment(*args, "--dry-run")
    assert out.splitlines() == [
        f"{painted}/a.png -> {output}/a.png (exists, skipped)",
        f"{painted}/sub/b.jpg -> {output}/sub/b.png",
        f"{painted}/sub/b.jpg -> {output}/sub/b.preview.jpg (exists, skipped)",
    ]
    said = "1 done, 1 skipped, 0 failed"
    assert said in err
    assert said in segment(*args)[2]
    assert files(output) == ["a.png", "sub/b.png", "sub/b.preview.jpg"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("x.jpg",), "-o DIR"),
        (("x.jpg", "-o", "out", "--only", "unicorn"), "It has sky, road, tree, left/right."),
        (("x.jpg", "-o", "out", "--cutout", "sky,unicorn"), "no class 'unicorn'"),
        (("x.jpg", "-o", "out", "--only", "sky", "--cutout", "tree"), "Name it in both"),
        (("x.jpg", "-o", "out", "--background", "blur"), "needs --cutout"),
        (("x.jpg", "-o", "out", "--cutout", "sky", "--background", "vanta"), "is not a color"),
        (("x.jpg", "-o", "out", "--resize", "8"), "at least 32"),
        (("x.jpg", "-o", "out", "--resize", "large"), "at least 32"),
        (("x.jpg", "-o", "out", "--min-area", "0"), "--min-area"),
        (("x.jpg", "-o", "out", "--coco", "all.txt"), "ends in .json"),
        (("x.jpg", "-o", "out", "--summary", "all.json"), "ends in .csv"),
        (("x.jpg", "-o", "out", "--report", "r.json", "--coco", "r.json"), "--report and --coco name the same file"),
        (
            ("x.jpg", "-o", "out", "--errors", "r.csv", "--summary", "./r.csv"),
            "--errors and --summary name the same file",
        ),
        (("x.jpg", "-o", "y.jpg"), "Name a .png"),
        (("x.jpg", "-o", "-", "--preview"), "name a folder"),
        (("x.jpg", "-o", "-", "--coco", "all.json"), "name a folder"),
        (("x.jpg", "z.jpg", "-o", "y.png"), "takes one image, and 2 were found"),
        (("x.jpg", "-o", __file__), "is not a folder"),
    ],
)
def test_wrong_usage_is_2_and_names_the_way(segment: Run, args: tuple[str, ...], said: str) -> None:
    status, out, err = segment(*args)
    assert (status, out) == (2, "")
    assert said in " ".join(err.split())


def test_models_for_another_task_are_4(run: Run, painted: Path, night: Path, tmp_path: Path) -> None:
    for model in ("no-such-model", night):
        status, out, _ = run("segment", painted, "-o", tmp_path / "out", "--model", model)
        assert (status, out) == (4, "")
    assert not (tmp_path / "out").exists()
