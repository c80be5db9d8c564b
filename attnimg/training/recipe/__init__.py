"""Recipes: all settings of a training run, as frozen dataclasses read from one TOML file.

Each task's recipe adds to the one in `common.py`. The shipped TOML files are in `recipes/<task>/`. A run writes its
recipe, with every value, into its folder.
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
