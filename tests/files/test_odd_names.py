"""Names that are no names: a pattern that is none, an input without one, bytes that are no text."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from helpers.results import Run, records
from PIL import Image


def test_a_pattern_that_is_none_is_missing_and_the_others_are_done(run: Run, model: Path, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    status, out, err = run("classify", tmp_path / "x**.jpg", tmp_path / "a.png", "--model", model)
    missing, done = records(out)
    assert (missing["path"], missing["error"]["kind"]) == (f"{tmp_path}/x**.jpg", "missing")
    assert "predictions" in done
    assert (status, err) == (1, "1 done, 0 skipped, 1 failed, 0 passed over\n")


def test_a_pattern_leaves_out_no_input_that_has_no_name_of_its_own(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "below").mkdir()
    for here, given in (tmp_path, "."), (tmp_path / "below", ".."):
        monkeypatch.chdir(here)
        status, out, _ = run("classify", given, "--exclude", ".*", "--model", model, "--dry-run")
        assert (status, out) == (0, f"{given}/a.png\n")


def test_each_path_of_a_list_that_is_no_text_stands_there_as_bytes(segment: Run, tmp_path: Path) -> None:
    photo = tmp_path / os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (80, 40)).save(photo)
    status, out, _ = segment(photo, "-o", tmp_path / "out", "--scores", "--only", "sky,road")
    [record] = records(out)
    files = [os.fsdecode(base64.b64decode(path)) for path in record["scores_b64"]]
    assert (status, files) == (0, [f"{tmp_path}/out/{photo.stem}.{label}.scores.png" for label in ("sky", "road")])
    assert all(Path(file).is_file() for file in files)
