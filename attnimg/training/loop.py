"""One loop for every task: steps, schedules, averaged weights, validation, early stopping, and exact resumption.

All randomness of step k is drawn from (seed, k) and the order of epoch e from (seed, e), so the state on disk needs no
generator state, and a run that was stopped anywhere goes on as if it had not been. Devices and precision are Lightning
Fabric's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from attnimg.training.log import Log
from attnimg.training.optimizers import build_optimizer
from attnimg.training.recipe import Recipe
from attnimg.training.schedule import image_size, learning_rate
from attnimg.training.state import load_state, save_state

STATE = "state.safetensors"
SAVE_EVERY = 120.0  # seconds; what a killed run loses at the most


class Task(Protocol):
    """What the loop needs to know of a task."""

    examples: int
    score: str  # the value of `validate` that decides which weights are kept; larger is better

    def batch(self, indices: list[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return the examples as they are stored, on the device."""
        ...

    def loss(self, net: nn.Module, batch: tuple[Tensor, ...], size: int) -> Tensor:
        """Augment the batch to images of `size` pixels and return the mean loss."""
        ...

    def validate(self, net: nn.Module, device: torch.device) -> Iterator[tuple[str, float]]:
        """Yield the measures of a net in evaluation mode."""
        ...


@dataclass
class Progress:
    """Where a run is. step counts from 0 over the whole run; loss is summed over `counted` steps of the epoch."""

    step: int = 0
    best: float = float("-inf")
    best_epoch: int = -1
    loss: float = 0.0
    counted: int = 0
    seconds: float = 0.0


def fit(
    task: Task,
    net: nn.Module,
    recipe: Recipe,
    folder: Path,
    fabric: Fabric,
    *,
    resume: bool = False,
    steps: int | None = None,
    watch: Callable[[Progress, int], None] = lambda progress, total: None,
) -> nn.Module:
    """Train `net` and return the averaged net of the best epoch, in evaluation mode on the CPU.

    folder: takes log.csv, state.safetensors and best.safetensors. resume: go on from the state there. steps: stop after
    this many (for rehearsals and tests), leaving a state to resume from. watch: is told after every step, with the
    total.
    """
    per_epoch = max(1, task.examples // recipe.batch_size)
    total = per_epoch * recipe.epochs
    net = net.to(fabric.device).to(memory_format=torch.channels_last)
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)  # type: ignore[no-untyped-call]
    trained, optimizer = fabric.setup(net, build_optimizer(recipe, net))
    progress, log = Progress(), Log(folder / "log.csv")
    if resume:
        state = load_state(folder / STATE)
        net.load_state_dict(state["net"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        progress = Progress(**state["progress"])
        log.resume(progress.step // per_epoch)

    def save() -> None:
        if fabric.is_global_zero:
            parts = {"net": net.state_dict(), "averaged": averaged.state_dict(), "optimizer": optimizer.state_dict()}
            save_state(folder / STATE, {**parts, "progress": vars(progress)})

    started = time.monotonic() - progress.seconds
    saved = time.monotonic()
    last = total if steps is None else min(total, progress.step + steps)
    try:
        while progress.step < last:
            epoch, within = divmod(progress.step, per_epoch)
            trained.train()
            order = torch.randperm(
                task.examples, generator=torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
            )
            for k in range(within, min(per_epoch, last - epoch * per_epoch)):
                indices = order[k * recipe.batch_size : (k + 1) * recipe.batch_size]
                mine = indices[fabric.global_rank :: fabric.world_size].tolist()
                loss = _step(task, trained, optimizer, recipe, fabric, mine, epoch, progress.step, total)
                averaged.update_parameters(net)
                progress.step += 1
                progress.loss, progress.counted = progress.loss + loss, progress.counted + 1
                progress.seconds = time.monotonic() - started
                watch(progress, total)
                if time.monotonic() - saved > SAVE_EVERY:
                    save()
                    saved = time.monotonic()
            if progress.step % per_epoch == 0:
                if _finish_epoch(task, averaged.module, recipe, folder, fabric, progress, log, epoch):
                    break
                save()
                saved = time.monotonic()
    finally:
        save()
    if (folder / "best.safetensors").is_file():
        averaged.module.load_state_dict(load_state(folder / "best.safetensors")["net"])
    result: nn.Module = averaged.module.cpu().eval()
    return result


def _step(
    task: Task,
    net: Any,
    optimizer: Any,
    recipe: Recipe,
    fabric: Fabric,
    indices: list[int],
    epoch: int,
    step: int,
    total: int,
) -> float:
    torch.manual_seed((recipe.seed << 32) + step * fabric.world_size + fabric.global_rank)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe, (step + 1) / total)
    optimizer.zero_grad()
    loss = task.loss(net, task.batch(indices, fabric.device), image_size(recipe, epoch))
    fabric.backward(loss)
    if recipe.clip_gradient:
        fabric.clip_gradients(net, optimizer, max_norm=recipe.clip_gradient)
    optimizer.step()
    return float(loss.detach())


def _finish_epoch(
    task: Task,
    net: nn.Module,
    recipe: Recipe,
    folder: Path,
    fabric: Fabric,
    progress: Progress,
    log: Log,
    epoch: int,
) -> bool:
    """Validate, log, keep the best; returns whether patience has run out."""
    net.eval()
    with torch.inference_mode(), fabric.autocast():
        measures = dict(task.validate(net, fabric.device))
    rate, size = (
        learning_rate(recipe, (progress.step) / (progress.step / (epoch + 1) * recipe.epochs)),
        image_size(recipe, epoch),
    )
    row = {"epoch": epoch, "size": size, "rate": rate, "train_loss": progress.loss / max(1, progress.counted)}
    log.write({**row, **measures, "seconds": round(progress.seconds)})
    progress.loss, progress.counted = 0.0, 0
    if measures[task.score] > progress.best:
        progress.best, progress.best_epoch = measures[task.score], epoch
        if fabric.is_global_zero:
            save_state(folder / "best.safetensors", {"net": net.state_dict(), "measures": measures})
    return 0 < recipe.patience <= epoch - progress.best_epoch
