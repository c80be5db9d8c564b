"""Recipes: those that are shipped train, and what is wrong in one is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny_data import make_classes, make_pairs, make_scenes
from helpers.tiny_training import TASKS, read_log
from torch.utils.flop_counter import FlopCounterMode

from attnimg.errors import UsageError
from attnimg.models import checkpoints
from attnimg.nets.classifier import ClassifierNet
from attnimg.nets.enhancer.net import MULTIPLE
from attnimg.training.loop import LAST
from attnimg.training.recipe import RECIPES, ClassifyRecipe, dump_toml, load_recipe
from attnimg.training.state import load_state

SHIPPED = sorted((path.parent.name, path.stem) for path in RECIPES.glob("*/*.toml"))


def shrink(task: str, recipe: Any, folder: Path) -> tuple[Any, Path]:
    """Return what is left of a recipe when it lasts for twenty steps, and a data set that suffices for them."""
    recipe = dataclasses.replace(recipe, epochs=5)
    if task == "classify":  # in smaller batches, and so at a smaller rate
        rate = recipe.learning_rate * 2 / recipe.batch_size
        return dataclasses.replace(recipe, batch_size=2, learning_rate=rate), make_classes(folder, per_class=3)
    recipe = dataclasses.replace(recipe, batch_size=1, crops=4, precision="fp32")
    side = recipe.size + MULTIPLE
    return recipe, make_pairs(folder, 1, (side, side + 5)) if task == "enhance" else make_scenes(folder, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), SHIPPED)
def test_a_shipped_recipe_runs_for_twenty_steps_at_every_size(task: str, name: str, tmp_path: Path) -> None:
    recipe, data = shrink(task, load_recipe(name, type(TASKS[task].recipe)), tmp_path / "data")
    path = TASKS[task].train(recipe, data, tmp_path / "run", device="cpu")
    assert load_state(tmp_path / "run" / LAST)["progress"]["step"] == 20
    assert {int(row["size"]) for row in read_log(tmp_path / "run")} >= {recipe.start_size, recipe.size}
    assert all(t.isfinite().all() for t in checkpoints.read(path)[1].values())


@pytest.mark.slow
def test_the_objects_recipe_keeps_to_its_budget() -> None:
    net = ClassifierNet(load_recipe("objects", ClassifyRecipe).net).eval()
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, 64, 64))
    assert sum(p.numel() for p in net.parameters()) <= 7.5e6
    assert counter.get_total_flops() / 2 <= 1.2e9


@pytest.mark.parametrize("task", TASKS)
def test_recipes_survive_being_written(tmp_path: Path, task: str) -> None:
    path, recipe = tmp_path / "mine.toml", TASKS[task].recipe
    path.write_text(dump_toml(recipe))
    assert load_recipe(str(path), type(recipe)) == recipe
    assert load_recipe(str(path), type(recipe), epochs=7, seed=None) == dataclasses.replace(recipe, epochs=7)


@pytest.mark.parametrize(("task", "name"), SHIPPED)
def test_a_shipped_recipe_starts_no_larger_than_it_is_to_end(task: str, name: str) -> None:
    recipe, small = (load_recipe(name, type(TASKS[task].recipe), size=size) for size in (None, 32))
    assert small == dataclasses.replace(recipe, size=32, start_size=32)
    large = load_recipe(name, type(TASKS[task].recipe), size=512)
    assert large == dataclasses.replace(recipe, size=512)


@pytest.mark.parametrize(
    ("task", "text", "named"),
    [
        ("classify", "epoch = 3", "epoch"),
        ("classify", "epochs = 'x'", "epochs"),
        ("classify", "epochs = 0", "at least 1"),
        ("classify", "precision = 'fp64'", "precision"),
        ("classify", "epochs = ", "mine.toml"),
        ("enhance", "size = 100", "multiples of 16"),
        ("enhance", "crops = 0", "crops"),
        ("enhance", "min_crop_share = 0.0", "min_crop_share"),
        ("enhance", "identity_share = 1.1", "identity_share"),
        ("segment", "size = 100", "multiples of 16"),
        ("segment", "crops = 0", "crops"),
        ("segment", "balance = 1.5", "balance"),
        ("segment", "[augmentation]\nscale = [2.0, 1.0]", "scale"),
        ("segment", '[net]\nfocus = "se"', "focus"),
    ],
)
def test_a_wrong_recipe_is_wrong_usage_that_names_the_fault(tmp_path: Path, task: str, text: str, named: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=named):
        load_recipe(str(tmp_path / "mine.toml"), type(TASKS[task].recipe))


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(UsageError, match="objects-cpu"):
        load_recipe("nothing", ClassifyRecipe)
