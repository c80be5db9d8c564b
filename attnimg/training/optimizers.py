"""Optimizers by name. Weight decay applies to matrices and kernels, not to norms, biases and gates."""

from __future__ import annotations

import torch
from torch import nn

from attnimg.training.recipe import Recipe


def build_optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over the parameters of a net."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.learning_rate, (recipe.momentum, 0.99))
    return torch.optim.SGD(groups, recipe.learning_rate, recipe.momentum, nesterov=recipe.momentum > 0)
