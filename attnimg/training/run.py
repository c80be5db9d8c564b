"""The frame of a training run of any task: its folder, its devices, the model that it starts from."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from attnimg.errors import Unavailable, UsageError
from attnimg.models import checkpoints
from attnimg.models.device import choose_device, choose_precision
from attnimg.models.sources import find_model
from attnimg.training.curves import draw_curves
from attnimg.training.log import Log
from attnimg.training.loop import LAST, LOG, Progress, Task, fit
from attnimg.training.precision import build_precision
from attnimg.training.recipe import Recipe, dump_toml, load_recipe

RECIPE = "recipe.toml"
NORMALIZATION = (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)
"""Mean and standard deviation of each color channel of Tiny ImageNet, in [0, 1], for nets that start from no model."""


@dataclass(frozen=True)
class Options:
    """Options of a run of any task.

    validation: folder of the validation part; None: the task's default. start_from: name or path of a model that gives
    net and weights to start with. devices: number of GPUs that share the work. workers: threads that decode. steps:
    most steps of this call; a state to resume from is left. watch: takes the progress and the total number of steps,
    after every step. say: takes lines for the user.
    """

    validation: Path | None = None
    start_from: str | None = None
    resume: bool = False
    device: str = "auto"
    devices: int = 1
    workers: int = 2
    steps: int | None = None
    watch: Callable[[Progress, int], None] = lambda progress, total: None
    say: Callable[[str], None] = lambda line: None


class Run:
    """A run in its folder, launched on its devices.

    result: path of the weight file that it writes at the end, folder/<name of the folder>.safetensors. UsageError: the
    folder holds no run to resume, or one that would be overwritten.
    """

    def __init__(self, recipe: Recipe, folder: Path, options: Options) -> None:
        check_folder(folder, options.resume)
        self.fabric = _launch(recipe, options.device, options.devices)
        if not self.fabric.is_global_zero:
            options = dataclasses.replace(options, watch=Options.watch, say=Options.say)
        self.folder, self.options = folder, options
        self.precision = choose_precision(recipe.precision, self.fabric.device, training=True)
        self.result = folder / f"{folder.resolve().name}.safetensors"

    def read_start(self, *tasks: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return header and tensors of the model to start from, or None. UsageError: it is for another task."""
        name = self.options.start_from
        if name is None:
            return None
        model = find_model(name)
        if model.header["task"] not in tasks:
            wanted = " or ".join(tasks)
            raise UsageError(
                f"{name} is a model for {model.header['task']}. Start from one for {wanted}, or leave --from out."
            )
        try:
            tensors = model.build_net().state_dict()
        except ValueError as error:
            raise Unavailable(f"{name} does not fit this version of attnimg ({error}). Train it again.") from error
        self.options.say(f"starting from {name}")
        return dict(model.header), tensors

    @contextmanager
    def preparing(self, recipe: Recipe) -> Iterator[None]:
        """Make the folder, prepare the data on the first device and then on the others, and write the recipe."""
        with self.fabric.rank_zero_first():
            self.folder.mkdir(parents=True, exist_ok=True)
            yield
            _keep_recipe(recipe, self.folder, self.options.resume)

    def fit(self, task: Task, net: nn.Module, recipe: Recipe) -> nn.Module | None:
        """Train, draw the curves, and return the averaged net of the best epoch; None on devices after the first."""
        options = self.options
        trained = fit(
            task,
            net,
            recipe,
            self.folder,
            self.fabric,
            resume=options.resume,
            steps=options.steps,
            watch=options.watch,
            say=options.say,
        )
        if not self.fabric.is_global_zero:
            return None
        draw_curves(Log(self.folder / LOG), self.folder / "curves.png")
        return trained


def describe_training(recipe: Recipe, images: int) -> dict[str, Any]:
    """Return a header's `training`."""
    return {
        "recipe": recipe.name,
        "images": images,
        "epochs": recipe.epochs,
        "precision": recipe.precision,
        "seed": recipe.seed,
    }


def describe_figures(measures: Iterable[tuple[str, float]], on: str) -> list[dict[str, Any]]:
    """Return a header's `figures`. on: the images that were measured, in words."""
    return [{"name": name, "value": round(value, 4), "on": on} for name, value in measures]


def round_weights(net: nn.Module) -> dict[str, Tensor]:
    """Return a net's tensors in half precision, as they are stored, and give the net the same rounded values."""
    half = checkpoints.halve(net.state_dict())
    net.load_state_dict({n: t.float() if t.is_floating_point() else t for n, t in half.items()})
    return half


def check_folder(folder: Path, resume: bool) -> None:
    """Raise UsageError if there is no run to resume, or one that would be overwritten."""
    exists = (folder / LAST).is_file()
    if resume and not exists:
        raise UsageError(f"{folder} holds no run to resume. Leave --resume out to begin one.")
    if exists and not resume:
        raise UsageError(f"{folder} holds a run already. Add --resume to continue it, or choose another folder.")


def _keep_recipe(recipe: Recipe, folder: Path, resume: bool) -> None:
    """Write the recipe into the run's folder. UsageError: a resumed run began with another one."""
    path = folder / RECIPE
    if resume:
        began = load_recipe(str(path), type(recipe))
        for field in dataclasses.fields(recipe):
            now, then = getattr(recipe, field.name), getattr(began, field.name)
            if now != then:
                raise UsageError(
                    f"{path} has {field.name} {then}, not {now}. Leave that option out, or begin another run."
                )
    path.write_text(dump_toml(recipe))


def _launch(recipe: Recipe, device: str, devices: int) -> Fabric:
    chosen = choose_device(device)
    available = torch.cuda.device_count() if chosen.type == "cuda" else devices if chosen.type == "cpu" else 1
    if devices > available:
        raise Unavailable(f"This machine has {available} {chosen.type} device(s), not {devices}. Lower --devices.")
    if devices > 1 and chosen.index is not None:
        raise UsageError(f"--device {device} is a single device. Use --device {chosen.type} with --devices {devices}.")
    which: Any = devices if chosen.index is None else [chosen.index]
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it reports the precision
    precision = build_precision(choose_precision(recipe.precision, chosen, training=True), chosen)
    fabric = Fabric(accelerator=chosen.type, devices=which, plugins=precision)
    fabric.launch()
    return fabric
