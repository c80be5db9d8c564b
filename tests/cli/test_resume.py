"""Whole commands, killed at random moments and resumed: `scripts/torture.py`, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from helpers.paths import ROOT
from PIL import Image

from attnimg.models import checkpoints
from attnimg.models.build import describe
from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.segmenter import SegmenterConfig, SegmenterNet

sys.path.insert(0, str(ROOT / "scripts"))
import torture
import torture_corpus

pytestmark = pytest.mark.slow
IMAGES, KILLS = 40, 3


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Return a tiny segmenter with random weights."""
    torch.manual_seed(0)
    backbone = BackboneConfig(widths=(4, 8, 8, 8), depths=(1, 1, 1, 1), channel_attention="none", heads=2)
    config = SegmenterConfig(classes=3, backbone=backbone)
    header = {
        "task": "segment",
        "architecture": describe(config),
        "classes": [{"id": i, "label": f"class {i}", "color": [99 * i, 0, 0]} for i in range(3)],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 64, "fit": "shortest"},
        "attention": "attention",
    }
    path = tmp_path / "lane.safetensors"
    checkpoints.write(path, header, SegmenterNet(config).state_dict())
    return path


@pytest.mark.parametrize(("command", "weights"), [("classify", "model"), ("enhance", "night"), ("segment", "street")])
def test_a_run_that_is_killed_and_resumed_leaves_what_an_undisturbed_one_does(
    tmp_path: Path, request: pytest.FixtureRequest, command: str, weights: str
) -> None:
    random = Random(IMAGES)
    failing = torture_corpus.make_corpus(tmp_path / "photos", IMAGES, random, hostile_every=8)
    assert len(failing) == 5
    options = [*torture.COMMANDS[command], "--model", str(request.getfixturevalue(weights)), "--batch-size", "8"]
    run = torture.Torture(tmp_path, command, options, failing)
    run.run(KILLS, random)
    assert list(run.differences()) == []
    assert run.kills.total() == KILLS
    check_that_differences_are_found(run)


def cut(path: Path) -> Path:
    """Write an image whose end is missing."""
    Image.effect_noise((40, 30), 50).save(path)
    os.truncate(path, path.stat().st_size - 40)
    return path


@pytest.mark.parametrize(
    ("command", "weights", "options", "output"),
    [
        ("classify", "model", ("--overlay",), "a.overlay.png"),
        ("enhance", "night", ("--save-as", "png"), "a.png"),
        ("segment", "street", (), "a.png"),
    ],
)
def test_an_input_that_does_not_open_is_no_output_that_does_not(
    run: Any, tmp_path: Path, request: pytest.FixtureRequest, command: str, weights: str, options: Any, output: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 30)).save(photos / "a.jpg")
    data = cut(photos / output).read_bytes()
    model = request.getfixturevalue(weights)
    status, out, _ = run(command, photos, "-o", photos, "--skip-existing", "--model", model, *options)
    first = json.loads(out.splitlines()[0])
    assert (status, first["error"]["kind"]) == (1, "exists")
    assert "never overwritten" in first["error"]["message"]
    assert (photos / output).read_bytes() == data


def test_an_input_that_is_still_to_come_is_no_output_either_and_nothing_waits_for_it(
    tmp_path: Path, street: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.jpg", "b.jpg"):
        Image.new("RGB", (40, 30)).save(photos / name)
    data = cut(photos / "a.png").read_bytes()
    args = ["--from-file", "-", "--root", "photos", "-o", "photos", "--skip-existing", "--model", street]
    command = [sys.executable, "-m", "attnimg", "segment", *args]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        for name in ("a.jpg", "b.jpg"):
            child.stdin.write(f"photos/{name}\n".encode())
        child.stdin.flush()
        found = [json.loads(child.stdout.readline()) for _ in range(2)]  # while the list goes on
        child.stdin.write(b"photos/a.png\n")
    assert ["never overwritten" in record.get("error", {}).get("message", "") for record in found] == [True, False]
    assert (photos / "a.png").read_bytes() == data
    assert (photos / "b.png").exists()


def check_that_differences_are_found(run: Any) -> None:
    """Spoil what a run left in every way that it is looked at, one after the other."""
    output = run.killed / min(torture.hash_files(run.killed))
    report, printed = run.killed / torture.REPORT, run.killed / torture.RECORDS
    lines, records = report.read_bytes().splitlines(keepends=True), printed.read_bytes().splitlines(keepends=True)
    done = next(line for line in lines if json.loads(line)["event"] == "done")
    read = json.dumps({"event": "read", "path": json.loads(done)["path"]}).encode()
    spoils = {
        "differs": (output, output.read_bytes() + b"x"),
        "is left": (output.with_name(".attnimg-1-2.tmp"), b"half"),
        "records for": (printed, b"".join(records[1:])),
        "another record:": (printed, b"".join(records).replace(b'"model": "', b'"model": "un', 1)),
        "missing failures": (printed, b"".join(records).replace(b'"error"', b'"terror"', 1)),
        "outcomes in the report": (report, b"".join(line for line in lines if line != done)),
        "done twice": (report, b"".join([*lines, read])),
        "in the report:": (report, b"".join(lines).replace(b'"model": "', b'"model": "un')),
    }
    for said, (path, data) in spoils.items():
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        assert any(said in difference for difference in run.differences()), said
        path.unlink() if before is None else path.write_bytes(before)
    assert list(run.differences()) == []
