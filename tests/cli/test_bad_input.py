"""A messy folder: each bad file gets its own record, and all others are done and right."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from helpers.bad_photos import bomb, photo
from helpers.results import Run

GOOD = ["a.jpg", "b.png", "c [red]bold.jpg", "d\nline.jpg", "e\x1b[31m.webp", "sub/f.jpg"]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    folder = tmp_path / "good"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate(GOOD):
        photo(seed).save(folder / name)
    return folder


@pytest.fixture
def bad(tmp_path: Path) -> dict[str, str]:
    """Write bad files into the folder of the good ones; returns name to the kind that its record must have."""
    folder = tmp_path / "good"
    folder.mkdir(exist_ok=True)
    whole = folder / "whole.jpg"
    photo(99).save(whole)
    data = whole.read_bytes()
    whole.unlink()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "page.png").write_text("<html></html>")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(data[:300])
    (folder / "loop").symlink_to(folder)
    (folder / "notes.txt").write_text("left alone")
    return {
        "cut.jpg": "damaged",
        "empty.jpg": "damaged",
        "text.jpg": "unsupported",
        "bomb.png": "too-large",
        "page.png": "unsupported",
        "gone.jpg": "missing",
        os.fsdecode(b"caf\xe9.jpg"): "damaged",
    }


def test_each_bad_file_has_its_record_and_the_others_are_right(
    run: Run, good: Path, bad: dict[str, str], model: Path
) -> None:
    clean = {}
    for name in GOOD:
        _, out, _ = run("classify", good / name, "--model", model)
        clean[str(good / name)] = json.loads(out)["predictions"]
    missing = good / "missing.jpg"
    status, out, err = run("classify", good, missing, "--model", model)
    records = {r["path"]: r for r in map(json.loads, out.splitlines())}
    assert status == 1
    assert len(records) == len(out.splitlines()) == len(GOOD) + len(bad) + 1
    kinds = {Path(path).name: r["error"]["kind"] for path, r in records.items() if "error" in r}
    assert kinds == {**bad, "missing.jpg": "missing"}
    for path, predictions in clean.items():
        found = records[path]["predictions"]
        assert [p["id"] for p in found] == [p["id"] for p in predictions]
        assert [p["score"] for p in found] == pytest.approx([p["score"] for p in predictions], abs=1e-4)
    assert all(r["error"]["message"].endswith(".") for r in records.values() if "error" in r)
    assert err.splitlines()[-1].startswith(f"{len(GOOD)} done, 0 skipped, {len(bad) + 1} failed")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_folder_without_rights_is_a_record(run: Run, good: Path, model: Path) -> None:
    (good / "closed").mkdir()
    (good / "closed").chmod(0)
    try:
        status, out, _ = run("classify", good, "--model", model)
    finally:
        (good / "closed").chmod(0o700)
    records = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [r["error"]["kind"] for r in records if "error" in r] == ["unreadable"]
    assert len(records) == len(GOOD) + 1


def test_names_are_shown_escaped_and_never_as_markup(run: Run, good: Path, model: Path) -> None:
    _, out, _ = run("classify", good, "--model", model, "--format", "table", "--topk", 1)
    assert "[red]" in out
    assert "\x1b" not in out
    assert len(out.splitlines()) == len(GOOD) + 1
