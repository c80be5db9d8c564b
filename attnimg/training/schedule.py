"""Schedules of the learning rate and the image size over a run."""

from __future__ import annotations

import math

from attnimg.training.recipe import Recipe


def learning_rate(recipe: Recipe, done: float) -> float:
    """Warm up linearly to the peak, then follow a cosine to zero (Loshchilov & Hutter 2017). done: share, 0 to 1."""
    if done < recipe.warmup:
        return recipe.learning_rate * done / recipe.warmup
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup)))


def image_size(recipe: Recipe, epoch: int, multiple: int = 8) -> int:
    """Grow linearly from `start_size` to `size` until the share `grow_until` of the run, by `multiple` pixels."""
    if recipe.start_size >= recipe.size or epoch >= recipe.grow_until * recipe.epochs:
        return recipe.size
    grown = recipe.start_size + (recipe.size - recipe.start_size) * epoch / (recipe.grow_until * recipe.epochs)
    return int(grown // multiple * multiple)
