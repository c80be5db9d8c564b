"""What changes over a run: learning rate and image size, as functions of the share of the run that is done."""

from __future__ import annotations

import math

from attnimg.training.recipe import Recipe


def learning_rate(recipe: Recipe, done: float) -> float:
    """Linear warm-up to the peak, then a cosine to zero (Loshchilov & Hutter 2017). done: share of the run, 0 to 1."""
    if done < recipe.warmup:
        return recipe.learning_rate * done / recipe.warmup
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup)))


def image_size(recipe: Recipe, epoch: int, multiple: int = 8) -> int:
    """Grow linearly from `start_size` to `size` over the first `grow_until` of the run, by `multiple` pixels."""
    if recipe.start_size >= recipe.size or epoch >= recipe.grow_until * recipe.epochs:
        return recipe.size
    grown = recipe.start_size + (recipe.size - recipe.start_size) * epoch / (recipe.grow_until * recipe.epochs)
    return int(grown // multiple * multiple)
