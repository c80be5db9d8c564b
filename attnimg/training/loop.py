"""The training loop of all tasks: steps, schedules, averaged weights, validation, early stopping, exact resumption.

All random numbers of step k are drawn from (seed, k), and the order of epoch e from (seed, e). So the state on disk
needs no generator state, and a resumed run ends bit for bit as an uninterrupted one. Lightning Fabric provides devices
and precision. With several devices each takes its share of every batch, and the first validates, logs and writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from attnimg.errors import UsageError
from attnimg.training.averaging import average
from attnimg.training.interrupts import deferred_signals
from attnimg.training.log import Log
from attnimg.training.optimizers import build_optimizer
from attnimg.training.recipe import Recipe
from attnimg.training.schedule import image_size, learning_rate
from attnimg.training.state import load_state, save_state

LOG = "log.csv"
LAST = "checkpoint-last.safetensors"
BEST = "checkpoint-best.safetensors"
SAVE_EVERY = 120.0  # seconds; the most that a killed run loses


class Task(Protocol):
    """A task as the loop needs it.

    examples: training examples of an epoch. score: name of the measure that decides which weights are kept; larger is
    better, and equal scores are decided by "loss".
    """

    examples: int
    score: str

    def batch(self, indices: list[int], device: torch.device) -> tuple[Tensor, ...]:
        """Return stored examples, not yet augmented, on the device."""
        ...

    def loss(self, net: nn.Module, batch: tuple[Tensor, ...], size: int) -> Tensor:
        """Augment the batch to images of `size` pixels and return the mean loss."""
        ...

    def validate(self, net: nn.Module, device: torch.device) -> Iterator[tuple[str, float]]:
        """Yield name and value of each measure of a net in evaluation mode; "loss" is one of them."""
        ...


@dataclass
class Progress:
    """The progress of a run.

    step, epochs: numbers of finished ones; an epoch is finished after its validation. best, best_loss, best_epoch: of
    the weights that are kept. loss: sum over `counted` steps. seconds: time that the steps took.
    """

    step: int = 0
    epochs: int = 0
    best: float = float("-inf")
    best_loss: float = float("inf")
    best_epoch: int = -1
    loss: float = 0.0
    counted: int = 0
    seconds: float = 0.0


class TrainingLoop:
    """A net in training, its whole state, and its files in `folder`: the log, the last state and the best net."""

    def __init__(self, task: Task, net: nn.Module, recipe: Recipe, folder: Path, fabric: Fabric) -> None:
        if recipe.batch_size % fabric.world_size:
            raise UsageError(
                f"A batch of {recipe.batch_size} cannot be split among {fabric.world_size} devices. "
                "Choose a multiple of that with --batch-size."
            )
        self.task, self.recipe, self.folder, self.fabric = task, recipe, folder, fabric
        self.steps_per_epoch = max(1, task.examples // recipe.batch_size)
        self.steps = self.steps_per_epoch * recipe.epochs
        self.net = convert_conv2d_weight_memory_format(net.to(fabric.device), torch.channels_last)
        self.averaged = average(self.net, recipe.ema)
        self.trained, self.optimizer = fabric.setup(self.net, build_optimizer(recipe, self.net))
        self.progress, self.log = Progress(), Log(folder / LOG)
        self._saved = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `patience` epochs brought no better score."""
        done, patience = self.progress.epochs, self.recipe.patience
        return done >= self.recipe.epochs or 0 < patience < done - self.progress.best_epoch

    def _parts(self) -> dict[str, Any]:
        parts = {"net": self.net, "averaged": self.averaged, "optimizer": self.optimizer}
        return {**parts, "precision": self.fabric.strategy.precision}  # fp16 has a loss scale as its state

    def save(self) -> None:
        """Write the state for `load`."""
        if self.fabric.is_global_zero:
            states = {name: part.state_dict() for name, part in self._parts().items()}
            save_state(self.folder / LAST, {**states, "progress": vars(self.progress)})
        self._saved = time.monotonic()

    def load(self) -> None:
        """Continue from the state on disk."""
        state = load_state(self.folder / LAST)
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.progress = Progress(**state["progress"])
        if self.fabric.is_global_zero:
            self.log.keep(self.progress.epochs)

    def train_epoch(self, last: int, after_step: Callable[[], None]) -> None:
        """Do the remaining steps of the current epoch, up to step `last` of the run."""
        self.trained.train()
        progress, size = self.progress, self.recipe.batch_size
        order = torch.randperm(
            self.task.examples, generator=torch.Generator().manual_seed(self.recipe.seed * 100_003 + progress.epochs)
        )
        begin = progress.epochs * self.steps_per_epoch
        for k in range(progress.step - begin, min(self.steps_per_epoch, last - begin)):
            started = time.monotonic()
            indices = order[k * size : (k + 1) * size][self.fabric.global_rank :: self.fabric.world_size]
            loss = self._step(indices.tolist())
            progress.step += 1
            progress.loss, progress.counted = progress.loss + loss, progress.counted + 1
            progress.seconds += time.monotonic() - started
            if time.monotonic() - self._saved > SAVE_EVERY:
                self.save()
            after_step()

    def _step(self, indices: list[int]) -> float:
        recipe, step, fabric = self.recipe, self.progress.step, self.fabric
        torch.manual_seed((recipe.seed << 32) + step * fabric.world_size + fabric.global_rank)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, (step + 1) / self.steps)
        self.optimizer.zero_grad()
        batch = self.task.batch(indices, fabric.device)
        loss = self.task.loss(self.trained, batch, image_size(recipe, self.progress.epochs))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise UsageError(
                f"The loss is NaN or infinite at step {step}. Lower --learning-rate, or set the recipe's clip_gradient."
            )
        fabric.backward(loss)
        if recipe.clip_gradient:
            fabric.clip_gradients(self.trained, self.optimizer, max_norm=recipe.clip_gradient)
        self.optimizer.step()
        self.averaged.update_parameters(self.net)
        return value

    def finish_epoch(self) -> str:
        """Validate the averaged net, log, keep it if it is the best so far, and return a summary in words."""
        progress, epoch = self.progress, self.progress.epochs
        train_loss = self.fabric.all_reduce(torch.tensor(progress.loss / progress.counted), reduce_op="mean")
        measures: dict[str, float] = {}
        if self.fabric.is_global_zero:
            net = self.averaged.module.eval()
            with torch.inference_mode(), self.fabric.autocast():
                measures = dict(self.task.validate(net, self.fabric.device))
            rate, size = learning_rate(self.recipe, progress.step / self.steps), image_size(self.recipe, epoch)
            row = {"epoch": epoch, "size": size, "rate": rate, "train_loss": float(cast(Tensor, train_loss))}
            self.log.write({**row, **measures, "seconds": round(progress.seconds)})
        measures = self.fabric.broadcast(measures)
        score, loss = measures[self.task.score], measures["loss"]
        if (score, -loss) > (progress.best, -progress.best_loss):
            progress.best, progress.best_loss, progress.best_epoch = score, loss, epoch
            if self.fabric.is_global_zero:
                save_state(self.folder / BEST, {"net": self.averaged.module.state_dict(), "measures": measures})
        progress.loss, progress.counted, progress.epochs = 0.0, 0, epoch + 1
        self.save()
        best = ", the best so far" if progress.best_epoch == epoch else ""
        return f"{self.task.score} {score:.3f}, loss {loss:.3f}{best}"


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
    say: Callable[[str], None] = lambda line: None,
) -> nn.Module:
    """Train `net` and return the averaged net of the best epoch, in evaluation mode on the run's device.

    folder: gets the log, the last state and the best net. resume: whether to continue from the state there. steps: most
    steps of this call (for rehearsals and tests); a state to resume from is left. watch: takes the progress and the
    total number of steps, after every step. say: takes a line for each epoch; its seconds count from the start or the
    resumption. UsageError: the loss is NaN or infinite.
    """
    run = TrainingLoop(task, net, recipe, folder, fabric)
    if resume:
        run.load()
    last = run.steps if steps is None else min(run.steps, run.progress.step + steps)
    with deferred_signals() as deliver:

        def after_step() -> None:
            watch(run.progress, run.steps)
            deliver(run.save)

        while not run.finished and run.progress.step < last:
            began = time.monotonic()
            run.train_epoch(last, after_step)
            if run.progress.step == (run.progress.epochs + 1) * run.steps_per_epoch:
                summary = run.finish_epoch()
                seconds = time.monotonic() - began
                say(f"epoch {run.progress.epochs} of {recipe.epochs} in {seconds:.1f} s: {summary}")
                deliver(run.save)
        run.save()
    fabric.barrier()
    if (folder / BEST).is_file():
        run.averaged.module.load_state_dict(load_state(folder / BEST)["net"])
    result: nn.Module = run.averaged.module.eval()
    return result
