"""Recipes: all that decides a training run, as frozen dataclasses read from one TOML file.

Each task's recipe is a file that adds to `common.py`. The TOML files that made the shipped weights lie in
`recipes/<task>/`; a run writes its own, with every value, into its folder.
"""

from __future__ import annotations

from attnimg.training.recipe.classify import Augmentation, ClassifyRecipe
from attnimg.training.recipe.common import Recipe
from attnimg.training.recipe.enhance import BRANCHES, EnhanceRecipe, LowLight
from attnimg.training.recipe.files import RECIPES, dump_toml, load_recipe
from attnimg.training.recipe.segment import SceneAugmentation, SegmentRecipe

__all__ = [
    "BRANCHES",
    "RECIPES",
    "Augmentation",
    "ClassifyRecipe",
    "EnhanceRecipe",
    "LowLight",
    "Recipe",
    "SceneAugmentation",
    "SegmentRecipe",
    "dump_toml",
    "load_recipe",
]
