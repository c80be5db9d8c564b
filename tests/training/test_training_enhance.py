"""Training enhancers: the run learns, and some photos may lack their partner."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_data import make_pairs
from helpers.tiny_training import ENHANCE, is_parameter, read_log, train_enhancer
from PIL import Image

from attnimg.datasets.pairs import find_pairs
from attnimg.errors import UsageError
from attnimg.models import checkpoints
from attnimg.nets.enhancer.net import EnhancerNet
from attnimg.predictors.enhance import load_enhancer
from attnimg.training.cache.files import remove_cached
from attnimg.training.cache.photos import cache_photos
from attnimg.training.recipe import EnhanceRecipe, load_recipe


@pytest.mark.slow
def test_a_run_learns_and_its_file_enhances(pairs: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(
        ENHANCE, epochs=12, crops=8, identity_share=0.0, synthetic_share=0.0, learning_rate=5e-3
    )
    path = train_enhancer(recipe, pairs, tmp_path, device="cpu")
    rows = read_log(tmp_path)
    assert len(rows) == 12
    assert float(rows[-1]["ssim"]) > float(rows[0]["ssim"]) + 0.01
    assert float(rows[-1]["psnr"]) > float(rows[0]["psnr"]) + 1  # a medium exposure, where it begins, is near
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    enhancer = load_enhancer(str(path), device="cpu")
    dark, bright = (np.asarray(Image.open(pairs / "val" / light / "00.png")) for light in ("low", "normal"))
    assert np.abs(enhancer(dark).mean() - bright.mean()) < 0.25 * np.abs(dark.mean() - bright.mean())
    header = checkpoints.read_header(path)
    figures = {f["name"]: f["value"] for f in header["figures"]}
    assert figures["ssim"] == pytest.approx(max(float(row["ssim"]) for row in rows), abs=0.01)
    assert header["training"]["images"] == 6
    assert header["parameters"] == sum(t.numel() for n, t in checkpoints.read(path)[1].items() if is_parameter(n))


@pytest.mark.slow
def test_ordinary_photos_are_enough_where_darkness_is_synthesized(tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data")
    for file in (data / "train" / "low").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="holds no image"):
        train_enhancer(ENHANCE, data, tmp_path / "run", device="cpu")
    (data / "train" / "low").rmdir()
    with pytest.raises(UsageError, match=r"low is missing.*pair by name"):
        train_enhancer(ENHANCE, data, tmp_path / "run", device="cpu")
    train_enhancer(ENHANCE, data, tmp_path / "run", device="cpu", synthesize=True)
    assert len(read_log(tmp_path / "run")) == 2
    for part in ("low", "normal"):
        for file in (data / "val" / part).iterdir():
            file.unlink()
        (data / "val" / part).rmdir()
    (data / "val").rmdir()
    alone = [train_enhancer(ENHANCE, data, tmp_path / name, device="cpu", synthesize=True) for name in "ab"]
    assert alone[0].read_bytes() == alone[1].read_bytes(), "held out, and darkened, alike"
    assert checkpoints.read_header(alone[0])["training"]["images"] == 5


def test_some_photos_may_lack_their_partner_only_where_darkness_is_synthesized(tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", count=3)
    (data / "train" / "low" / "01.png").unlink()
    with pytest.raises(UsageError, match=r"normal/01\.png has no partner"):
        train_enhancer(ENHANCE, data, tmp_path / "run", device="cpu")
    found = find_pairs(data / "train", all_paired=False)
    assert [file is None for file in found.low] == [False, True, False]
    assert [Path(file).name for file in found.normal] == ["00.png", "01.png", "02.png"]
    (data / "train" / "normal" / "02.png").unlink()
    with pytest.raises(UsageError, match=r"low/02\.png has no partner"):
        find_pairs(data / "train", all_paired=False)


def test_photos_that_do_not_fit_are_wrong_usage_that_says_what_to_do(pairs: Path, tmp_path: Path) -> None:
    large = dataclasses.replace(ENHANCE, size=96)
    with pytest.raises(UsageError, match=r"side of 64 pixels.*96.*Lower --size"):
        train_enhancer(large, pairs, tmp_path / "large", device="cpu")
    many = dataclasses.replace(ENHANCE, batch_size=13)
    with pytest.raises(UsageError, match="Lower --batch-size"):
        train_enhancer(many, pairs, tmp_path / "many", device="cpu")
    data = make_pairs(tmp_path / "data", count=3)
    low = data / "train" / "low" / "01.png"
    Image.open(low).resize((80, 60)).save(low)
    with pytest.raises(UsageError, match=r"low/01\.png and .*normal/01\.png differ in size\. Scale or crop"):
        train_enhancer(ENHANCE, data, tmp_path / "odd", device="cpu")
    Image.open(low).save(low.with_suffix(".bmp"))
    with pytest.raises(UsageError, match=r"differ only in the extension\. Remove one"):
        find_pairs(data / "train")


def test_photos_are_decoded_once_and_kept_as_they_are(pairs: Path, tmp_path: Path) -> None:
    files = [str(pairs / "train" / "low" / f"{i:02}.png") for i in range(3)]
    Image.fromarray(np.full((5, 7), 40_000, np.uint16)).save(tmp_path / "deep.png")
    kept = cache_photos([*files, str(tmp_path / "deep.png")], tmp_path / "run")
    assert kept.sizes == [(64, 80)] * 3 + [(5, 7)]
    for i, file in enumerate(files):
        assert np.array_equal(kept[i], np.asarray(Image.open(file)))
    assert (kept[3] == 156).all()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    assert np.array_equal(cache_photos([*files, str(tmp_path / "deep.png")], tmp_path / "run")[2], kept[2])
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()} == before
    assert len(cache_photos([], tmp_path / "run")) == 0


def test_decoded_images_are_removed_with_those_of_killed_runs_and_nothing_else(pairs: Path, tmp_path: Path) -> None:
    cache_photos([str(pairs / "train" / "low" / "00.png")], tmp_path)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".bin", ".json"]
    kept = {"log.csv", "photos-mine.bin", ".mine.tmp"}
    for name in (*kept, ".attnimg-0123abcd-0123456789ab.tmp"):
        (tmp_path / name).touch()
    remove_cached(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


@pytest.mark.slow
def test_a_branch_that_does_not_learn_stays_as_it_is(pairs: Path, tmp_path: Path) -> None:
    exposure, prior, restore = (
        dataclasses.replace(ENHANCE, trainable=(branch,)) for branch in ("exposure", "prior", "restore")
    )
    first = train_enhancer(exposure, pairs, tmp_path / "exposure", device="cpu")
    second = train_enhancer(prior, pairs, tmp_path / "prior", device="cpu", start_from=str(first))
    third = train_enhancer(restore, pairs, tmp_path / "restore", device="cpu", start_from=str(second))
    before, between, after = (checkpoints.read(path)[1] for path in (first, second, third))
    torch.manual_seed(exposure.seed)
    fresh = checkpoints.halve(EnhancerNet(ENHANCE.net).state_dict())
    assert {name.partition(".")[0] for name in fresh if not torch.equal(fresh[name], before[name])} == {"exposure"}
    for old, new, branch in ((before, between, "prior"), (between, after, "restore")):  # nor are statistics changed
        assert {n.partition(".")[0] for n in old if not torch.equal(old[n], new[n])} == {branch}


@pytest.mark.slow
def test_without_a_net_to_start_from_all_of_it_learns_and_either_run_is_resumed(pairs: Path, tmp_path: Path) -> None:
    restore, said = dataclasses.replace(ENHANCE, trainable=("restore",)), []
    first = train_enhancer(restore, pairs, tmp_path / "alone", device="cpu", steps=1, say=said.append)
    assert "Without --from, all branches are trained" in said[0]
    train_enhancer(restore, pairs, tmp_path / "onwards", device="cpu", steps=1, start_from=str(first))
    for name, trainable in {"alone": ("exposure", "prior", "restore"), "onwards": ("restore",)}.items():
        recipe = load_recipe(str(tmp_path / name / "recipe.toml"), EnhanceRecipe)
        assert recipe.trainable == trainable
        train_enhancer(recipe, pairs, tmp_path / name, device="cpu", resume=True)
        assert len(read_log(tmp_path / name)) == 2
