"""scripts/: data sets are arranged completely and repeatably, into new folders only; shipped models are measured."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

from attnimg.models import checkpoints

SCRIPT = ROOT / "scripts" / "arrange_tiny_imagenet.py"
LOL = SCRIPT.with_name("arrange_lol.py")


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    root = tmp_path / "tiny-imagenet-200"
    (root / "val" / "images").mkdir(parents=True)
    (root / "wnids.txt").write_text("n02\nn01\n")
    (root / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\tlemon\nn03\tentity\n")
    for wnid in ("n01", "n02"):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        for i in range(10):
            (images / f"{wnid}_{i}.JPEG").write_text(f"{wnid} {i}")
    rows = [("val_0.JPEG", "n02"), ("val_1.JPEG", "n01")]
    for name, wnid in rows:
        (root / "val" / "images" / name).write_text(wnid)
    (root / "val" / "val_annotations.txt").write_text("".join(f"{n}\t{w}\t0\t0\t63\t63\n" for n, w in rows))
    return root


def arrange(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *args], capture_output=True, text=True)


def contents(data: Path) -> dict[str, str]:
    return {str(p.relative_to(data)): p.read_text() for p in sorted(data.rglob("*.JPEG"))}


@pytest.mark.parametrize("by", ["symlink", "hardlink", "copy"])
def test_every_image_finds_its_class(tiny: Path, tmp_path: Path, by: str) -> None:
    data = tmp_path / "data"
    assert arrange(tiny, data, "--by", by, "--held-out", "3").returncode == 0
    files = contents(data)
    of_train = [path for path in files if not path.startswith("val/")]
    assert sorted(files[path] for path in of_train) == sorted(f"{w} {i}" for w in ("n01", "n02") for i in range(10))
    assert all(files[path].split()[0] == Path(path).parent.name for path in files)
    assert {w: len(list((data / "held-out" / w).iterdir())) for w in ("n01", "n02")} == {"n01": 3, "n02": 3}
    assert {path for path in files if path.startswith("val/")} == {"val/n01/val_1.JPEG", "val/n02/val_0.JPEG"}
    assert any(p.is_symlink() for p in data.rglob("*.JPEG")) == (by == "symlink")
    assert json.loads((data / "classes.json").read_text()) == [
        {"id": "n01", "label": "goldfish"},
        {"id": "n02", "label": "lemon"},
    ]


def test_the_seed_alone_decides(tiny: Path, tmp_path: Path) -> None:
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        arrange(tiny, tmp_path / name, "--held-out", "5", "--seed", seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a.keys() != c.keys()


def test_links_hold_wherever_the_command_ran(tiny: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, SCRIPT, tiny.name, "deep/data", "--held-out", "1"], cwd=tmp_path, check=True, timeout=60
    )
    assert len(contents(tmp_path / "deep" / "data")) == 22


def test_refusals_say_why_and_leave_nothing(tiny: Path, tmp_path: Path) -> None:
    refusals = {
        "exists already": arrange(tiny, tmp_path),
        "holds no wnids.txt": arrange(tmp_path, tmp_path / "new"),
        "too few": arrange(tiny, tmp_path / "new", "--held-out", "10"),
    }
    (tiny / "words.txt").write_text("n01\tcrane, bird\nn02\tcrane, machine\n")
    refusals["called crane"] = arrange(tiny, tmp_path / "new")
    for reason, result in refusals.items():
        assert result.returncode == 1
        assert reason in result.stderr
    assert not (tmp_path / "new").exists()
    assert [p.name for p in tmp_path.iterdir()] == [tiny.name]


@pytest.fixture
def lol(tmp_path: Path) -> Path:
    for folder in ("low", "high"):
        (tmp_path / "our485" / folder).mkdir(parents=True)
        for number in range(1, 790):
            (tmp_path / "our485" / folder / f"{number}.png").write_text(f"{folder} {number}")
    return tmp_path / "our485"


def arrange_lol(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, LOL, *args], capture_output=True, text=True)


def test_lols_pairs_are_split_by_scene_and_none_of_the_official_set_is_taken(lol: Path, tmp_path: Path) -> None:
    ordinary, data = tmp_path / "ordinary", tmp_path / "data"
    ordinary.mkdir()
    for name in ("c.jpg", "a.jpg", "b.jpg"):
        (ordinary / name).write_text(name)
    assert arrange_lol(lol, data, "--ordinary", ordinary, "--count", "2").returncode == 0
    found = {part: {p.stem for p in (data / part / "low").iterdir()} for part in ("train", "val")}
    assert {part: len(names) for part, names in found.items()} == {"train": 352, "val": 43}
    assert not found["train"] & found["val"]
    official = "1 22 23 55 79 111 146 179 493 547 665 669 748 778 780".split()  # noqa: SIM905 - as its readers know it
    assert not (found["train"] | found["val"]).intersection(official)
    for part, names in found.items():
        of_lol = {p.stem: p.read_text() for p in (data / part / "normal").glob("*.png")}
        assert of_lol == {name: f"high {name}" for name in names}
    assert sorted(p.name for p in (data / "train/normal").glob("*.jpg")) == ["bsds_a.jpg", "bsds_b.jpg"]


def test_what_cannot_be_arranged_as_lol_is_explained(lol: Path, tmp_path: Path) -> None:
    (lol / "high" / "776.png").unlink()
    for said, told in {
        "exists already": arrange_lol(lol, tmp_path),
        "lacks 1 photos, among them 776": arrange_lol(lol, tmp_path / "new"),
    }.items():
        assert told.returncode == 1
        assert said in told.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_arithmetic_of_every_shipped_model_is_the_one_in_its_header() -> None:
    count_gmac = runpy.run_path(str(ROOT / "scripts" / "ship_weights.py"))["count_gmac"]
    headers = [checkpoints.read_header(path) for path in checkpoints.available()]
    assert [round(count_gmac(header), 3) for header in headers] == [header["gmac"] for header in headers]
