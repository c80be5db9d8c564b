"""`--shard K/N`: a part of the images is worked on, and all of them are inputs, which nothing replaces."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.results import Run
from PIL import Image

ENDINGS = {"classify": ".overlay.png", "enhance": ".png", "segment": ".png"}


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """Return a folder of two photos, of which each of two shards has one, as their names have it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("day.png", "night.png"):
        Image.new("RGB", (40, 30)).save(folder / name)
    return folder


@pytest.mark.parametrize("command", ENDINGS)
def test_an_input_of_another_shard_is_never_replaced(
    run: Run, lane: Path, parted: Path, tmp_path: Path, command: str
) -> None:
    """Under the name of each photo's output lies the other photo."""
    output = tmp_path / "out"
    output.mkdir()
    args = (command, parted, "-o", output, "--overlay", "--overwrite", "--model", lane, "--dry-run")
    for k, (mine, other) in enumerate([("day", "night"), ("night", "day")], 1):
        path = output / f"{mine}{ENDINGS[command]}"
        os.link(parted / f"{other}.png", path)
        status, out, err = run(*args, "--shard", f"{k}/2")
        reason = "is an input, and inputs are never overwritten. Use another folder."
        assert (status, out) == (1, f"{parted}/{mine}.png: {path} {reason}\n")
        assert err == "A dry run: 0 done, 0 skipped, 1 failed, 0 passed over.\n"


@pytest.mark.parametrize(("option", "name"), [("--coco", "all.json"), ("--summary", "all.csv")])
@pytest.mark.parametrize("photo", ["day.png", "night.png"])
def test_a_file_about_all_photos_replaces_none_of_any_shard(
    run: Run, lane: Path, parted: Path, tmp_path: Path, option: str, name: str, photo: str
) -> None:
    os.link(parted / photo, tmp_path / name)
    args = ("segment", parted, "-o", tmp_path / "out", "--model", lane, "--overwrite", "--shard", "1/2", "--dry-run")
    status, out, err = run(*args, option, tmp_path / name)
    assert (status, out) == (2, "")
    assert "inputs are never overwritten" in err
