"""`attnimg train`: what it says meanwhile, and what it leaves in the run's folder."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.results import Run
from helpers.terminal import Terminal
from helpers.tiny_data import make_pairs
from helpers.tiny_training import CLASSIFY, ENHANCE, TASKS

from attnimg.cli.terminal.console import Console
from attnimg.training.cache import squares as packing
from attnimg.training.recipe import dump_toml
from attnimg.training.tasks.classification import Classification

pytestmark = pytest.mark.slow

FILES = {"recipe.toml", "log.csv", "curves.png", "checkpoint-last.safetensors", "checkpoint-best.safetensors"}
MINE = "photos-2020.json"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Return the file of a small classifier's recipe."""
    path = tmp_path / "small.toml"
    path.write_text(dump_toml(CLASSIFY))
    return path


@pytest.mark.parametrize("name", TASKS)
def test_a_run_that_is_done_leaves_nothing_decoded(
    run: Run, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    (tmp_path / "small.toml").write_text(dump_toml(TASKS[name].recipe))
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / MINE).touch()
    data = request.getfixturevalue(TASKS[name].data)
    command = ("train", name, data, "-o", folder, "--device", "cpu")
    status, out, err = run(*command, "--recipe", tmp_path / "small.toml")
    assert (status, out) == (0, f"{folder / 'run.safetensors'}\n")
    assert names(folder) == {*FILES, "run.safetensors", MINE}
    assert re.findall("^epoch (.) of 2 in ", err, re.MULTILINE) == ["1", "2"]
    weights = (folder / "run.safetensors").read_bytes()
    assert run(*command, "--resume", "--quiet")[::2] == (0, "")
    assert names(folder) == {*FILES, "run.safetensors", MINE}
    assert (folder / "run.safetensors").read_bytes() == weights


def test_a_run_that_is_cut_off_decodes_only_once(
    run: Run, classes: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("power cut")

    command = ("train", "classify", classes, "-o", tmp_path / "run", "--recipe", recipe, "--device", "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(Classification, "validate", fail)
        assert run(*command)[0] == 70
    decoded = names(tmp_path / "run") - FILES
    assert [name.rpartition("-")[0] for name in decoded] == ["pixels-32"] * 2
    monkeypatch.setattr(packing, "read_square", fail)
    assert run(*command)[0] == 0
    assert names(tmp_path / "run") == {*FILES, "run.safetensors"}


def test_photos_that_cannot_be_decoded_leave_nothing(run: Run, tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", count=2)
    (data / "train" / "low" / "01.png").write_bytes(b"")
    (tmp_path / "small.toml").write_text(dump_toml(ENHANCE))
    command = ("train", "enhance", data, "-o", tmp_path / "run", "--recipe", tmp_path / "small.toml")
    status, _, err = run(*command, "--device", "cpu")
    assert status == 2
    assert "01.png" in err
    assert names(tmp_path / "run") == set()


def test_on_a_terminal_epochs_stand_above_the_bar(
    run: Run, classes: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def validate(*args: object) -> Iterator[tuple[str, float]]:
        err.wait_for("steps", after=len(err.getvalue()))  # the bar is drawn
        yield from (("top1", 0.5), ("loss", 1.0))

    out, err = io.StringIO(), Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(Classification, "validate", validate)
    monkeypatch.setattr(Console, "of_process", lambda quiet: Console(out, err, quiet))
    status, _, _ = run("train", "classify", classes, "-o", tmp_path / "run", "--recipe", recipe, "--device", "cpu")
    assert status == 0
    for epoch in (1, 2):
        # The bar's line is erased before.
        assert re.search(rf"\x1b\[2K(\x1b\[[0-9;?]*[A-Za-z])*epoch {epoch} of 2 in [\d.]+ s: top1", err.getvalue())


def test_segmenters_are_fine_tuned_by_the_recipe_for_cpus(run: Run, tmp_path: Path) -> None:
    status, _, err = run("train", "segment", tmp_path, "-o", tmp_path / "run", "--from", "street")
    assert status == 2
    assert "classes.json" in err, "the data set is missed, and no recipe"
