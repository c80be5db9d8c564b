"""An exponential moving average of weights and batch statistics. The averaged net is validated and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average(net: nn.Module, decay: float) -> AveragedModel:
    """Return the average of `net`; call its `update_parameters` after each step.

    decay: weight of the old average at each step. In step n it is at most (1 + n) / (10 + n), so that the initial
    weights also fade from short runs.
    """
    return AveragedModel(net, multi_avg_fn=_moving_average(decay), use_buffers=True)


def _moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    @torch.no_grad()
    def update(averages: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(list(averages), list(current), 1 - keep)
        else:
            for old, new in zip(averages, current, strict=True):
                old.copy_(new)

    return update
