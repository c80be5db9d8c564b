"""Recipes: all that decides a training run, as frozen dataclasses read from one TOML file.

The recipes that made the shipped weights lie in `recipes/`; a run writes its own, with every value, into its folder.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnimg.errors import UsageError
from attnimg.nets.classifier import ClassifierConfig
from attnimg.nets.configuration import build_config

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
OPTIMIZERS = ("sgd", "adamw")
POOLINGS = ("region", "spatial", "none")  # what can be drawn over an image, or nothing
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Augmentation:
    """What happens to training images on the device, by Kornia. Zero turns a step off.

    crop: smallest share of the area that a random resized crop keeps. flip: probability. rotation: degrees. shift:
    share of the side. colour: strength of brightness, contrast and saturation jitter. erase: probability of a random
    erasing. mixup, cutmix: share of the batches that are mixed so (Zhang et al. 2018, Yun et al. 2019), in shares
    drawn uniformly.
    """

    crop: float = 0.35
    flip: float = 0.5
    rotation: float = 0.0
    shift: float = 0.0
    colour: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """One training run.

    size: side of the net's input in pixels. start_size: side at the first epoch, growing to `size` until the share
    `grow_until` of the run (progressive resizing). batch_size: images per step over all devices. optimizer: sgd
    (Nesterov momentum) or adamw. learning_rate: the peak, reached after `warmup` (share of the run), then cosine to
    zero. weight_decay: of matrices and kernels only. balance: how far the loss is weighted towards rare classes, 0
    (not) to 1 (by inverse frequency). ema: decay of the averaged weights, which are what is validated and kept.
    patience: epochs without a better score before the run stops (0: never). precision: fp32, bf16 or fp16.
    """

    name: str
    net: ClassifierConfig = field(default_factory=ClassifierConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    epochs: int = 18
    size: int = 64
    start_size: int = 32
    grow_until: float = 0.7
    batch_size: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup: float = 0.1
    label_smoothing: float = 0.1
    balance: float = 0.0
    clip_gradient: float = 0.0
    ema: float = 0.998
    patience: int = 0
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "epochs must be at least 1": self.epochs >= 1,
            "batch_size must be at least 1": self.batch_size >= 1,
            "start_size must be at least 16 and size no smaller": 16 <= self.start_size <= self.size,
            "warmup must be at least 0 and below 1": 0 <= self.warmup < 1,
            "ema must be at least 0 and below 1": 0 <= self.ema < 1,
            "balance must be between 0 and 1": 0 <= self.balance <= 1,
            "mixup and cutmix must not sum to more than 1": self.augmentation.mixup + self.augmentation.cutmix <= 1,
            f"precision must be one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
            f"optimizer must be one of {', '.join(OPTIMIZERS)}": self.optimizer in OPTIMIZERS,
            "seed must be at least 0 and below 2 ** 31": 0 <= self.seed < 2**31,
            f"pooling must be one of {', '.join(POOLINGS)}": self.net.pooling in POOLINGS,
        }
        if broken := [rule for rule, kept in rules.items() if not kept]:
            raise ValueError("; ".join(broken))


def load_recipe(name_or_path: str, **overrides: Any) -> Recipe:
    """Read a shipped recipe by name or a TOML file by path; overrides replace top-level values that are not None."""
    shipped = RECIPES / f"{name_or_path}.toml"
    path = shipped if shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise UsageError(f"There is no recipe {name_or_path!r}. Give a TOML file or one of: {names}.")
    try:
        values = tomllib.loads(path.read_text())
        recipe: Recipe = build_config({"name": path.stem, **values}, Recipe)
        return dataclasses.replace(recipe, **{k: v for k, v in overrides.items() if v is not None})
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a recipe: {error}.") from error


def dump_toml(recipe: Any, section: str = "") -> str:
    """Write a dataclass as TOML, its nested dataclasses as tables."""
    values = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    plain = {k: v for k, v in values.items() if not dataclasses.is_dataclass(v)}
    lines = [f"[{section}]"] if section else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    tables = [dump_toml(values[k], f"{section}.{k}".lstrip(".")) for k in values.keys() - plain.keys()]
    return "\n".join([*lines, ""]) + "".join(f"\n{table}" for table in sorted(tables))
