"""`attnimg.run` does what the command does: the same options by the same names, the same files and records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.results import Run, files, records
from PIL import Image

import attnimg
from attnimg.errors import NoImages, Unavailable, UsageError
from attnimg.records import Failed, Planned, Record, Segmented, Skipped

MODELS = {"classify": "model", "enhance": "night", "segment": "lane"}
OPTIONS: dict[str, list[tuple[str, Any]]] = {
    "classify": [("topk", 3), ("min_score", 0.05), ("views", 2), ("overlay", True)],
    "enhance": [("strength", 0.5), ("save_as", "tiff"), ("suffix", "-b"), ("side_by_side", True), ("tile", 64)],
    "segment": [("only", "tree,left/right"), ("min_area", 5), ("preview", True), ("resize", 48), ("scores", True)],
}
SHARED = [("device", "cpu"), ("batch_size", 1), ("recursive", True), ("exclude", ["skip*"])]


def words(options: Iterable[tuple[str, Any]]) -> list[str]:
    """Options as a user types them."""
    typed: list[str] = []
    for name, value in options:
        flag = f"--{name.replace('_', '-')}"
        typed += [flag] if value is True else [f for v in np.atleast_1d(value) for f in (flag, str(v))]
    return typed


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def plain(given: Iterable[Record]) -> list[dict[str, Any]]:
    return [json.loads(record.to_json()) for record in given]


@pytest.fixture
def mixed(painted: Path) -> Path:
    """Return a folder of two photos, one that is left out, and one that fails."""
    shutil.copy(painted / "a.png", painted / "skipped.png")
    (painted / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return painted


@pytest.mark.parametrize("task", OPTIONS)
def test_python_and_the_command_do_the_same(
    run: Run, mixed: Path, tmp_path: Path, request: pytest.FixtureRequest, task: str
) -> None:
    model, output = request.getfixturevalue(MODELS[task]), tmp_path / "out"
    options = [*SHARED, *OPTIONS[task], ("output", output), ("model", model)]
    status, out, _ = run(task, mixed, mixed / "gone.png", *words(options))
    printed, written = records(out), contents(output)
    assert [Path(record["path"]).name for record in printed] == ["a.png", "broken.jpg", "b.jpg", "gone.png"]
    assert (status, len(written) > 1) == (1, True)

    shutil.rmtree(output)
    given = list(attnimg.run(task, [mixed, mixed / "gone.png"], **dict(options)))
    assert plain(given) == printed
    assert contents(output) == written
    assert [record.kind for record in given if isinstance(record, Failed)] == ["damaged", "missing"]


@pytest.mark.parametrize("task", OPTIONS)
def test_a_dry_run_yields_what_would_be_written(
    run: Run, mixed: Path, tmp_path: Path, request: pytest.FixtureRequest, task: str
) -> None:
    model, output = request.getfixturevalue(MODELS[task]), tmp_path / "out"
    options = [*SHARED, *OPTIONS[task], ("output", output), ("model", model), ("dry_run", True)]
    printed = run(task, mixed, *words(options))[1].splitlines()
    plan = list(attnimg.run(task, str(mixed), **dict(options)))
    assert all(isinstance(record, Planned) for record in plan)
    assert [f"{r.path} -> {path}" for r in plan if isinstance(r, Planned) for path in r.outputs] == printed
    assert not output.exists()


def test_a_dry_run_tells_what_exists(painted: Path, tmp_path: Path, lane: Path) -> None:
    options = {"output": tmp_path / "out", "preview": True, "skip_existing": True, "model": lane, "device": "cpu"}
    assert len(list(attnimg.run("segment", painted, **options))) == 2
    (tmp_path / "out" / "a.png").unlink()
    a, b = attnimg.run("segment", painted, dry_run=True, **options)
    assert a == Planned(f"{painted}/a.png", (f"{tmp_path}/out/a.png",), (f"{tmp_path}/out/a.preview.jpg",))
    assert b == Skipped(f"{painted}/sub/b.jpg", f"{tmp_path}/out/sub/b.png")


def test_a_report_is_resumed(run: Run, mixed: Path, tmp_path: Path, lane: Path) -> None:
    output, report = tmp_path / "out", tmp_path / "run.jsonl"
    options = {"output": output, "report": report, "errors": tmp_path / "failed.jsonl", "model": lane}
    a, failed, b = attnimg.run("segment", mixed, exclude=["skip*"], **options)
    assert plain([failed]) == [json.loads(line) for line in (tmp_path / "failed.jsonl").open()]
    with pytest.raises(UsageError, match="exists"):
        attnimg.run("segment", mixed, exclude=["skip*"], **options)

    shutil.copy(mixed / "sub" / "b.jpg", mixed / "broken.jpg")
    (before,) = {(output / name).stat().st_mtime_ns for name in ["a.png"]}
    again = list(attnimg.run("segment", mixed, exclude=["skip*"], resume=True, **options))
    assert (again[0], again[2]) == (a, b)
    assert isinstance(again[1], Segmented)
    assert (output / "a.png").stat().st_mtime_ns == before
    assert (tmp_path / "failed.jsonl").read_text() == ""

    (output / "a.png").unlink()
    status, out, _ = run("resume", report)  # the report describes the run as a command line
    assert (status, records(out)) == (0, plain(again))
    with pytest.raises(UsageError, match="arguments"):
        next(attnimg.run("segment", mixed, exclude=["skip*"], resume=True, min_area=9, **options))


def test_failures_stop_a_run(mixed: Path, model: Path) -> None:
    gone = [mixed / name for name in ("x.png", "y.png", "a.png")]
    for options, count in (({"fail_fast": True}, 1), ({"max_failures": 2}, 2), ({}, 3)):
        assert len(list(attnimg.run("classify", gone, model=model, device="cpu", **options))) == count


def test_closing_stops_a_run(painted: Path, tmp_path: Path, model: Path, no_thread_is_left: None) -> None:
    given = attnimg.run("classify", [painted / "a.png"] * 200, model=model, device="cpu", report=tmp_path / "r.jsonl")
    assert next(given).path == f"{painted}/a.png"
    given.close()  # type: ignore[attr-defined]
    assert '"event": "end"' not in (tmp_path / "r.jsonl").read_text()


@pytest.mark.parametrize("task", OPTIONS)
def test_an_option_that_is_unknown_is_a_type_error(task: str) -> None:
    with pytest.raises(TypeError, match=r"no option 'outptu'; there are .*output"):
        attnimg.run(task, "x.jpg", outptu="out")


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("classify", {"topk": 0}, "topk is 0; give a whole number, at least 1."),
        ("classify", {"topk": "many"}, "topk is 'many'"),
        ("classify", {"topk": 2.5}, "topk is 2.5"),
        ("classify", {"min_score": float("nan")}, "min_score is nan; give a number, from 0 to 1."),
        ("classify", {"overlay": 1, "output": "out"}, "overlay is 1; give True or False."),
        ("classify", {"model": None}, "model is None; leave it out for its default."),
        ("classify", {"precision": "fp64"}, "give one of auto, fp32, bf16, fp16"),
        ("classify", {"output": "out"}, "--overlay"),
        ("classify", {"resume": True}, "--report"),
        ("enhance", {}, "-o DIR"),
        ("enhance", {"output": "out", "strength": 1.5}, "strength is 1.5"),
        ("enhance", {"output": "out", "tile": 10}, "at least 64"),
        ("segment", {"output": "out", "background": "blur"}, "--cutout"),
        ("segment", {"output": "out", "resize": "large"}, "at least 32"),
    ],
)
def test_a_value_that_is_not_allowed_is_a_usage_error(task: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        attnimg.run(task, "x.jpg", **options)
    assert said in str(caught.value)


def test_what_ends_a_command_is_raised(tmp_path: Path, painted: Path) -> None:
    with pytest.raises(UsageError, match="No input is given"):
        attnimg.run("classify")
    with pytest.raises(UsageError, match="There are classify, segment, enhance"):
        attnimg.run("paint", "x.jpg")
    with pytest.raises(Unavailable, match="no-such-model"):
        next(attnimg.run("classify", painted, model="no-such-model"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoImages):
        next(attnimg.run("enhance", tmp_path / "empty", output=tmp_path / "out", dry_run=True))


def test_numbers_of_numpy_and_paths_are_values(painted: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{painted}/a.png\n")
    (record,) = attnimg.run(
        "classify", from_file=tmp_path / "list", model=model, topk=np.int64(2), min_score=np.float32(0), device="cpu"
    )
    assert len(record.to_dict()["predictions"]) == 2


def test_a_single_photo_into_a_file(painted: Path, tmp_path: Path, lane: Path) -> None:
    (record,) = attnimg.run("segment", painted / "a.png", output=tmp_path / "mask.png", model=lane, device="cpu")
    assert isinstance(record, Segmented)
    assert (record.output, Image.open(record.output).size) == (f"{tmp_path}/mask.png", (96, 64))
