"""A task joins by files of its own and one registry entry: its command and `attnimg.run` need nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.copy_task import ENDING, TASK
from helpers.results import Run, files, records
from PIL import Image

import attnimg
from attnimg.errors import UsageError
from attnimg.models.registry import TASKS
from attnimg.records import Enhanced, Failed


@pytest.fixture(autouse=True)
def _joins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "copy", TASK)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of two photos and a broken one."""
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(["a.png", "c.png"]):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "b.jpg").write_bytes(b"")
    return tmp_path / "photos"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file that a report takes for the model's."""
    (tmp_path / "copy.safetensors").write_bytes(b"weights")
    return tmp_path / "copy.safetensors"


def test_its_command_is_in_the_help(run: Run) -> None:
    status, out, _ = run("--help")
    commands = [line.strip("│ ") for line in out.splitlines()]
    assert status == 0
    assert any(line.startswith("copy ") and line.endswith("Write photos as they are.") for line in commands)
    status, out, _ = run("copy", "--help")
    assert (status, "--gray" in out, "--report" in out, "--format" in out) == (0, True, True, True)
    for group in ("train", "evaluate"):  # what it does not do
        assert "copy" not in run(group, "--help")[1]


def test_its_command_runs(run: Run, photos: Path, tmp_path: Path) -> None:
    status, out, err = run("copy", photos, "-o", tmp_path / "out")
    assert (status, err.splitlines()[-1]) == (1, "2 done, 0 skipped, 1 failed, 0 passed over")
    a, b, c = records(out)
    assert (a["output"], b["error"]["kind"], c["output"]) == (
        f"{tmp_path}/out/a{ENDING}",
        "damaged",
        f"{tmp_path}/out/c{ENDING}",
    )
    assert np.array_equal(Image.open(a["output"]), Image.open(photos / "a.png"))
    assert run("copy", photos / "a.png", "-o", tmp_path / "gray", "--gray", 7)[0] == 0
    assert Image.open(tmp_path / "gray" / f"a{ENDING}").getextrema() == ((7, 7),) * 3
    assert run("copy", photos, "-o", tmp_path / "new", "--dry-run")[1].splitlines() == [
        f"{photos}/{name} -> {tmp_path}/new/{Path(name).stem}{ENDING}" for name in ("a.png", "b.jpg", "c.png")
    ]
    assert run("copy", photos / "a.png", "-o", tmp_path / "gray", "--gray", "dark")[0] == 2


def test_its_command_resumes(run: Run, photos: Path, weights: Path, tmp_path: Path) -> None:
    report = tmp_path / "run.jsonl"
    status, before, _ = run("copy", photos, "-o", tmp_path / "out", "--report", report, "--model", weights, "--gray", 7)
    Image.new("RGB", (30, 20)).save(photos / "b.jpg")
    a = tmp_path / "out" / f"a{ENDING}"
    time = a.stat().st_mtime_ns
    for _ in range(2):
        status, after, _ = run("resume", report)
        assert status == 0
        assert records(after)[::2] == records(before)[::2]
        assert records(after)[1]["output"] == f"{tmp_path}/out/b{ENDING}"
    assert a.stat().st_mtime_ns == time
    assert Image.open(tmp_path / "out" / f"b{ENDING}").getextrema() == ((7, 7),) * 3


def test_it_runs_from_python(run: Run, photos: Path, weights: Path, tmp_path: Path) -> None:
    printed = records(run("copy", photos, "-o", tmp_path / "out")[1])
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    options = {"output": tmp_path / "out", "report": tmp_path / "run.jsonl", "model": weights}
    given = list(attnimg.run("copy", photos, **options))
    assert [json.loads(record.to_json()) for record in given] == printed
    assert [type(record) for record in given] == [Enhanced, Failed, Enhanced]
    assert list(attnimg.run("copy", photos, resume=True, **options)) == given
    assert files(tmp_path / "out") == [f"a{ENDING}", f"c{ENDING}"]
    with pytest.raises(TypeError, match="gray"):
        attnimg.run("copy", photos, grey=7)
    with pytest.raises(UsageError, match="has no predictor"):
        attnimg.load("copy")
