"""`attnimg classify`, `train`, `evaluate`, `models` and `doctor` as users see them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.results import Run
from PIL import Image

from attnimg.images.reader import DirectReader
from attnimg.models import checkpoints
from attnimg.options.common import InputOptions
from attnimg.training import trainer

RECIPE = """
epochs = 2
size = 32
start_size = 32
batch_size = 12
precision = "fp32"
[net]
width = 8
[net.backbone]
widths = [4, 8]
depths = [1, 1]
"""
HEAVY = ("torch", "numpy", "cv2", "PIL", "kornia", "lightning", "matplotlib")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for i, name in enumerate(["a.jpg", "[red]\x1b[31m\n.jpg", "sub/a.jpg"]):
        pixels = np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "notes.txt").write_text("hello")
    return folder


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom attnimg.cli.main import main\n"
        "for args in ('', 'classify', 'enhance', 'train classify', 'evaluate enhance', 'models', 'doctor'):\n"
        "    sys.argv = ['attnimg', *args.split(), '--help']\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code\n"
        f"print('loaded', sorted(set({HEAVY}) & sys.modules.keys()))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "loaded []"
    assert "--sort-into" in result.stdout


def test_max_pixels_defaults_to_the_readers_limit() -> None:
    from attnimg.images.read import MAX_PIXELS

    assert InputOptions(["x"]).max_pixels == MAX_PIXELS


def test_classify_gives_a_record_each_and_counts(run: Run, photos: Path, model: Path) -> None:
    status, out, err = run("classify", photos, "--model", model, "--topk", 2)
    records = [json.loads(line) for line in out.splitlines()]
    assert [Path(r["path"]).name for r in records] == ["[red]\x1b[31m\n.jpg", "a.jpg", "broken.jpg", "a.jpg"]
    assert records[2]["error"]["kind"] == "damaged"
    assert [len(r["predictions"]) for r in records if "predictions" in r] == [2, 2, 2]
    assert err.splitlines()[-1] == "3 done, 0 skipped, 1 failed, 1 passed over"
    assert status == 1


def test_quiet_says_nothing(run: Run, photos: Path, model: Path) -> None:
    status, out, err = run("classify", photos / "a.jpg", "--model", model, "--quiet", "--min-score", 1)
    assert json.loads(out)["predictions"] == []
    assert (status, err) == (0, "")


def test_overlays_are_written_once(run: Run, photos: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    args = ("classify", photos / "a.jpg", photos / "sub", "-o", output, "--overlay", "--root", photos, "--model", model)

    status, out, _ = run(*args, "--dry-run")
    assert status == 0
    assert out.splitlines()[0] == f"{photos}/a.jpg -> {output}/a.overlay.png"
    assert not output.exists()

    status, out, _ = run(*args)
    assert [Path(json.loads(line)["overlay"]) for line in out.splitlines()] == [
        output / "a.overlay.png",
        output / "sub" / "a.overlay.png",
    ]
    assert Image.open(output / "sub" / "a.overlay.png").size == (64, 48)

    status, out, _ = run(*args)
    assert (status, {json.loads(line)["error"]["kind"] for line in out.splitlines()}) == (1, {"exists"})
    status, out, err = run(*args, "--skip-existing")
    assert (status, err.splitlines()[-1]) == (0, "0 done, 2 skipped, 0 failed, 0 passed over")
    assert json.loads(out.splitlines()[0]) == {
        "path": f"{photos}/a.jpg",
        "output": f"{output}/a.overlay.png",
        "skipped": True,
    }
    assert run(*args, "--overwrite")[0] == 0


def test_sorting_keeps_equal_names_apart(run: Run, photos: Path, model: Path, tmp_path: Path) -> None:
    label = "some_thing"
    args = ("classify", photos / "a.jpg", photos / "sub", "--model", model, "--sort-into", tmp_path / "sorted")
    assert run(*args, "--hardlink", "--min-score", 1)[0] == 0
    filed = tmp_path / "sorted" / "unlabelled"
    assert (filed / "a.jpg").samefile(photos / "a.jpg")
    assert (filed / "a (2).jpg").samefile(photos / "sub" / "a.jpg")

    assert run(*args)[0] == 0
    copies = sorted((tmp_path / "sorted").glob(f"{label}*/*"))
    assert len(copies) == 2
    assert {c.read_bytes() for c in copies} == {(photos / p).read_bytes() for p in ("a.jpg", "sub/a.jpg")}
    assert all(not c.samefile(photos / "a.jpg") for c in copies)
    assert run(*args)[0] == 1  # there already
    assert run(*args, "--skip-existing")[0] == 0

    assert run(*args, "--symlink", "--overwrite")[0] == 0
    assert all(c.is_symlink() for c in copies)
    assert copies[0].samefile(photos / "a.jpg") or copies[0].samefile(photos / "sub" / "a.jpg")


def test_a_run_that_finds_nothing_leaves_no_file_for_errors(run: Run, tmp_path: Path, model: Path) -> None:
    empty, errors = tmp_path / "photos", tmp_path / "failed.jsonl"
    empty.mkdir()
    args = ("classify", empty, "--model", model, "--errors", errors)
    assert run(*args)[0] == 3
    assert not errors.exists()
    (empty / "a.jpg").write_bytes(b"")
    status, out, _ = run(*args)
    assert (status, errors.read_text()) == (1, out)


def test_a_dry_run_files_an_image_whose_overlay_is_there(run: Run, photos: Path, model: Path, tmp_path: Path) -> None:
    args = ("classify", photos / "a.jpg", "--model", model, "--overlay", "-o", tmp_path / "out")
    assert run(*args)[0] == 0
    _, out, err = run(*args, "--skip-existing", "--sort-into", tmp_path / "sorted", "--dry-run")
    assert out.splitlines() == [
        f"{photos}/a.jpg -> {tmp_path}/sorted/<label>/a.jpg",
        f"{photos}/a.jpg -> {tmp_path}/out/a.overlay.png (exists, skipped)",
    ]
    assert "1 done, 0 skipped" in err


@pytest.mark.slow
def test_train_then_evaluate_then_classify(run: Run, classes: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    status, out, _ = run(
        *("train", "classify", classes, "-o", tmp_path / "run", "--recipe", tmp_path / "tiny.toml"),
        *("--epochs", 1, "--device", "cpu", "--quiet"),
    )
    weights = Path(out.strip())
    assert (status, weights.parent) == (0, tmp_path / "run")
    assert len((weights.parent / "log.csv").read_text().splitlines()) == 2

    evaluate = ("evaluate", "classify", classes, "--model", weights, "--device", "cpu", "--quiet")
    status, out, err = run(*evaluate, "-o", tmp_path / "report")
    assert (status, err) == (0, "")
    assert json.loads(out)["images"] == 24
    assert (tmp_path / "report" / "confusion.png").is_file()
    assert run(*evaluate, "--format", "csv")[1].splitlines()[:2] == ["name,value", "images,24"]

    status, out, _ = run("classify", classes / "val" / "rose" / "000.png", "--model", weights, "--device", "cpu")
    assert status == 0
    assert {p["label"] for p in json.loads(out)["predictions"]} == {"blue sky", "grass", "rose"}


@pytest.mark.slow
def test_what_training_held_out_is_measured(run: Run, classes: Path, tmp_path: Path) -> None:
    """A data set has no part to validate; and the same without parts."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    shutil.copytree(classes / "train", data := tmp_path / "data" / "train")
    command = ("train", "classify", data.parent, "-o", tmp_path / "run", "--recipe", tmp_path / "tiny.toml")
    weights = run(*command, "--epochs", 1, "--seed", 3, "--device", "cpu", "--quiet")[1].strip()
    noted = {figure["name"]: figure["value"] for figure in checkpoints.read_header(Path(weights))["figures"]}
    evaluate = ("evaluate", "classify", "--model", weights, "--device", "cpu")
    for folder in (data.parent, data):
        status, out, err = run(*evaluate, folder)
        results = json.loads(out)
        assert (status, err) == (0, f"Measured on the images of {folder} that training held out.\n")
        assert results.pop("images") == 6
        assert {name: round(value, 4) for name, value in results.items()} == pytest.approx(noted, abs=2e-4)

    (data / "rose" / "000.png").unlink()  # now another tenth would have been held out
    status, out, err = run(*evaluate, data)
    assert (json.loads(out)["images"], err) == (71, f"Measured on all images of {data}.\n")
    assert run(*evaluate, data.parent)[0] == 2  # it has no val/


@pytest.mark.slow
def test_a_dry_run_looks_into_files_where_others_would(
    run: Run, photos: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("classify", photos / "a.jpg", "--overlay", "-o", tmp_path, "--model", model)
    assert run(*args)[0] == 0
    for method in ("read", "probe", "is_complete"):
        monkeypatch.setattr(DirectReader, method, lambda *_, **__: pytest.fail("It is opened in this process."))
    status, out, _ = run(*args, "--skip-existing", "--dry-run", "--isolate")
    assert (status, out) == (0, f"{photos}/a.jpg -> {tmp_path}/a.overlay.png (exists, skipped)\n")


@pytest.mark.parametrize("command", ["enhance", "classify"])
def test_fine_tuning_finds_its_recipe(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    recipes: list[str] = []
    monkeypatch.setattr(trainer, "train", lambda task, recipe, *_, **__: recipes.append(recipe.name))
    assert run("train", command, tmp_path, "-o", tmp_path / "run", "--from", "x", "--device", "cpu")[0] == 0
    assert recipes == ["finetune"]


def test_models_and_doctor(run: Run, model: Path) -> None:
    status, out, _ = run("models", "show", model)
    assert (status, json.loads(out)["task"]) == (0, "classify")
    assert run("models", "verify", model) == (0, "tiny: whole\n", "")
    status, out, _ = run("doctor")
    assert status in (0, 4)  # 4 in a checkout without weights
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {key: names for key, names in project["optional-dependencies"].items() if key != "test"}
    packages = {re.split("[<>=]", name)[0] for names in (project["dependencies"], *extras.values()) for name in names}
    assert {"attnimg", "python", "weights", *packages} <= {line.split()[0] for line in out.splitlines()}
