"""How commands end when something is wrong: the exit status tells what, a sentence tells what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.results import Run
from PIL import Image

from attnimg.jobs.classify import job as classify_command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of one photo."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.new("RGB", (64, 48)).save(folder / "a.jpg")
    return folder


@pytest.mark.parametrize(
    "args",
    [
        ("x", "--no-such-option"),
        (),
        ("x", "-0"),
        ("-", "--from-file", "-"),
        ("x", "--overlay"),
        ("x", "-o", "out"),
        ("x", "-o", "out", "--overlay", "--overwrite", "--skip-existing"),
        ("x", "--sort-into", "d", "--copy", "--symlink"),
        ("x", "--hardlink"),
        ("-", "--sort-into", "d"),
        ("x", "--sort-into", "d", "--shard", "1/2"),
        ("x", "--topk", "0"),
        ("x", "--format", "xml"),
    ],
)
def test_wrong_usage_is_2(run: Run, args: tuple[str, ...]) -> None:
    status, out, err = run("classify", *args)
    assert (status, out) == (2, "")
    assert err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("x", "--fail-fast", "--max-failures", 2), "--max-failures 1"),
        (("x", "--max-failures", 0), "--max-failures"),
        (("x", "--timeout", 5), "--isolate"),
        (("x", "--resume"), "--report"),
        (("x", "--shard", "0/4"), "shard"),
        (("x", "--shard", "5/4"), "shard"),
        (("x", "--errors", "there"), "--errors"),
        (("x", "--report", "there"), "resume"),
        (("--watch", "--from-file", "there"), "folders"),
        (("--watch", "-"), "folders"),
        (("--watch", "there"), "folder"),
        (("--watch", "folder", "--dry-run"), "--watch"),
        (("--watch", "folder", "--overwrite"), "--watch"),
    ],
)
@pytest.mark.parametrize("command", [("classify",), ("enhance", "-o", "out")])
def test_contradictions_are_wrong_usage(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, args: Any, said: str
) -> None:
    pytest.importorskip("watchfiles")
    monkeypatch.chdir(tmp_path)
    Path("there").write_text("of somebody else\n")
    Path("folder").mkdir()
    status, out, err = run(*command, *(("-o", "out", "--overlay") if command == ("classify",) else ()), *args)
    assert (status, out) == (2, "")
    assert said in err
    assert not Path("out").exists()


def test_no_image_is_3(run: Run, tmp_path: Path, model: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    status, out, err = run("classify", tmp_path, "--model", model)
    assert (status, out) == (3, "")
    assert "1 other file" in err


@pytest.mark.parametrize("errors", [".", "photos/a.jpg/failed.jsonl"])
def test_errors_that_cannot_be_written_are_found_before_any_image_is_read(
    run: Run, photos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: str
) -> None:
    def read(*args: object) -> None:
        raise AssertionError("An image is read.")

    monkeypatch.setattr(classify_command.ClassifyJob, "read", read)
    report = tmp_path / "run.jsonl"
    args = ("classify", photos, "--model", model, "--report", report, "--errors", tmp_path / errors)
    status, out, err = run(*args)
    assert (status, out) == (2, "")
    assert "--errors" in err
    assert not report.exists()


def test_what_is_not_there_is_4(run: Run, photos: Path) -> None:
    status, _, err = run("classify", photos, "--model", "no-such-model")
    assert status == 4
    assert "no-such-model" in err
    assert run("models", "show", "no-such-model")[0] == 4
    assert run("models", "verify", photos / "a.jpg")[0] == 4


def test_cuda_is_never_the_cpu(run: Run, photos: Path, model: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert run("classify", photos, "--model", model, "--device", "cuda")[0] == 4


def test_training_without_its_extra_is_4(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("trainer", "run", "tasks.classify"):  # another test may have imported them
        monkeypatch.delitem(sys.modules, f"attnimg.training.{name}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lightning"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightning", None)
    status, _, err = run("train", "classify", tmp_path, "-o", tmp_path / "run")
    assert status == 4
    assert "pip install 'attnimg[train]'" in err


def test_a_bug_is_70_and_says_how_to_report_it(
    run: Run, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise KeyError("oh \x1b[31m")

    monkeypatch.setattr(classify_command.ClassifyJob, "shape", fail)
    status, _, err = run("classify", photos, "--model", model)
    assert status == 70
    assert "attnimg doctor" in err
    assert "Traceback" not in err
    assert "\x1b" not in err
    monkeypatch.setenv("ATTNIMG_DEBUG", "1")
    assert "Traceback" in run("classify", photos, "--model", model)[2]
