"""Values that options take, and those that they refuse, before anything else is done."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.results import Run


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "status"), [("0.1", 0), ("1e9", 0), ("0", 2), ("1e10", 2), ("inf", 2)])
def test_a_timeout_is_a_time_that_a_clock_can_tell(
    run: Run, model: Path, tmp_path: Path, seconds: str, status: int
) -> None:
    (tmp_path / "a.png").touch()
    ended, _, err = run("classify", tmp_path, "--model", model, "--isolate", "--timeout", seconds, "--dry-run")
    assert (ended, "--timeout" in err) == (status, status == 2)


@pytest.mark.parametrize("task", ["enhance", "segment"])
def test_a_size_that_cannot_be_is_no_fault_of_the_recipe(run: Run, tmp_path: Path, task: str) -> None:
    status, out, err = run("train", task, tmp_path, "-o", tmp_path / "run", "--size", 100)
    assert (status, out) == (2, "")
    assert "cannot be changed so: sizes must be multiples of 16. Give another value." in err
    assert not (tmp_path / "run").exists()
