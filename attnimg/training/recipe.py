"""Recipes: all that decides a training run, as frozen dataclasses read from one TOML file.

The recipes that made the shipped weights lie in `recipes/<task>/`; a run writes its own, with every value, into its
folder.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from attnimg.errors import UsageError
from attnimg.nets.classifier import ClassifierConfig
from attnimg.nets.configuration import build_config
from attnimg.nets.enhancer import MULTIPLE, EnhancerConfig
from attnimg.nets.segmenter import SegmenterConfig

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
OPTIMIZERS = ("sgd", "adamw")
POOLINGS = ("region", "spatial", "none")  # what can be drawn over an image, or nothing
FOCUSES = ("gate", "region", "spatial", "none")  # the same
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
    """What decides a run of any task.

    size: side of the net's input in pixels. start_size: side at the first epoch, growing to `size` until the share
    `grow_until` of the run (progressive resizing). batch_size: images per step over all devices. optimizer: sgd
    (Nesterov momentum) or adamw. learning_rate: the peak, reached after `warmup` (share of the run), then cosine to
    zero. weight_decay: of matrices and kernels only. clip_gradient: its largest norm (0: any). ema: decay of the
    averaged weights, which are what is validated and kept. patience: epochs without a better score before the run
    stops (0: never). precision: fp32, bf16 or fp16.
    """

    task: ClassVar[str]

    name: str
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
    clip_gradient: float = 0.0
    ema: float = 0.998
    patience: int = 0
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if broken := [rule for rule, kept in self.rules().items() if not kept]:
            raise ValueError("; ".join(broken))

    def rules(self) -> dict[str, bool]:
        """Return what must hold, as sentences, and whether it does."""
        return {
            "epochs must be at least 1": self.epochs >= 1,
            "batch_size must be at least 1": self.batch_size >= 1,
            "start_size must be at least 16 and size no smaller": 16 <= self.start_size <= self.size,
            "warmup must be at least 0 and below 1": 0 <= self.warmup < 1,
            "ema must be at least 0 and below 1": 0 <= self.ema < 1,
            f"precision must be one of {', '.join(PRECISIONS)}": self.precision in PRECISIONS,
            f"optimizer must be one of {', '.join(OPTIMIZERS)}": self.optimizer in OPTIMIZERS,
            "seed must be at least 0 and below 2 ** 31": 0 <= self.seed < 2**31,
        }


@dataclass(frozen=True)
class ClassifyRecipe(Recipe):
    """A run of a classifier.

    label_smoothing: share of the target that is spread over all classes. balance: how far the loss is weighted towards
    rare classes, 0 (not) to 1 (by inverse frequency).
    """

    task: ClassVar[str] = "classify"

    net: ClassifierConfig = field(default_factory=ClassifierConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_smoothing: float = 0.1
    balance: float = 0.0

    def rules(self) -> dict[str, bool]:
        """Return what must hold, as sentences, and whether it does."""
        return super().rules() | {
            "balance must be between 0 and 1": 0 <= self.balance <= 1,
            "mixup and cutmix must not sum to more than 1": self.augmentation.mixup + self.augmentation.cutmix <= 1,
            f"pooling must be one of {', '.join(POOLINGS)}": self.net.pooling in POOLINGS,
        }


@dataclass(frozen=True)
class Darkness:
    """How ordinary photos are darkened (`training.darkness`), each value drawn between its bounds.

    exposure: share of the light that is left, drawn evenly in stops. uneven: how far it differs over the photo, in
    stops to either side. cast: greatest change of a channel, in stops.
    gamma: exponent of the tone curve. shot, read: standard deviation of the photons' and of the sensor's noise, at full
    and at no light; drawn evenly in stops.
    """

    exposure: tuple[float, float] = (0.01, 0.5)
    uneven: float = 1.0
    cast: float = 0.25
    gamma: tuple[float, float] = (0.9, 1.2)
    shot: tuple[float, float] = (0.003, 0.03)
    read: tuple[float, float] = (0.0003, 0.003)


@dataclass(frozen=True)
class EnhanceRecipe(Recipe):
    """A run of an enhancer.

    size, start_size: side of the crops, multiples of 16. crops: from each photo per epoch. window: smallest share of a
    photo's sides that is taken for a whole photo. glances: photos that are only looked at, for each that is restored:
    judging exposure is cheap and wants many. exposure: dark photos are
    made brighter or darker by up to this many stops. bright: share of the examples that are photos in normal light,
    which are to stay as they are. synthetic: share that are such photos, darkened. ssim, glance: weights, beside
    Charbonnier's of 1, of the losses 1 - SSIM and of the brightness of the whole photo before it is restored.
    """

    task: ClassVar[str] = "enhance"

    net: EnhancerConfig = field(default_factory=EnhancerConfig)
    darkness: Darkness = field(default_factory=Darkness)
    epochs: int = 40
    size: int = 192
    start_size: int = 192
    batch_size: int = 8
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    warmup: float = 0.03
    clip_gradient: float = 1.0
    crops: int = 5
    window: float = 0.5
    glances: int = 1
    exposure: float = 0.4
    bright: float = 0.05
    synthetic: float = 0.0
    ssim: float = 0.2
    glance: float = 0.5

    def rules(self) -> dict[str, bool]:
        """Return what must hold, as sentences, and whether it does."""
        return super().rules() | {
            f"sizes must be multiples of {MULTIPLE}": self.size % MULTIPLE == self.start_size % MULTIPLE == 0,
            "crops must be at least 1": self.crops >= 1,
            "glances must be at least 0": self.glances >= 0,
            "window must be above 0 and at most 1": 0 < self.window <= 1,
            "bright and synthetic must not sum to more than 1": self.bright + self.synthetic <= 1,
        }


@dataclass(frozen=True)
class SceneAugmentation:
    """What happens to training photos and their masks alike, on the device. Zero turns a step off.

    scale: bounds of how many times larger a photo is seen than it is, drawn evenly in octaves. flip: probability.
    colour, hue: strength of brightness, contrast and saturation jitter, and of hue's (at most 0.5).
    """

    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    colour: float = 0.3
    hue: float = 0.0


@dataclass(frozen=True)
class SegmentRecipe(Recipe):
    """A run of a segmenter.

    size, start_size: side of the crops, multiples of 16. crops: from each photo per epoch. balance: how far the loss is
    weighted towards rare classes, 0 (not) to 1 (by median frequency). lovasz, auxiliary: weights, beside the
    cross-entropy's of 1, of the Lovász-softmax loss and of the cross-entropy of logits made from the context alone.
    """

    task: ClassVar[str] = "segment"

    net: SegmenterConfig = field(default_factory=SegmenterConfig)
    augmentation: SceneAugmentation = field(default_factory=SceneAugmentation)
    epochs: int = 20
    size: int = 288
    start_size: int = 160
    batch_size: int = 8
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_gradient: float = 1.0
    crops: int = 3
    balance: float = 0.5
    lovasz: float = 0.5
    auxiliary: float = 0.4

    def rules(self) -> dict[str, bool]:
        """Return what must hold, as sentences, and whether it does."""
        low, high = self.augmentation.scale
        return super().rules() | {
            "sizes must be multiples of 16": self.size % 16 == self.start_size % 16 == 0,
            "crops must be at least 1": self.crops >= 1,
            "balance must be between 0 and 1": 0 <= self.balance <= 1,
            "scale must be above 0, the smaller first": 0 < low <= high,
            f"focus must be one of {', '.join(FOCUSES)}": self.net.focus in FOCUSES,
        }


Kind = TypeVar("Kind", bound=Recipe)


def load_recipe(name_or_path: str, kind: type[Kind], **overrides: Any) -> Kind:
    """Read a shipped recipe by name or a TOML file by path; overrides replace top-level values that are not None."""
    shipped = RECIPES / kind.task
    path = shipped / f"{name_or_path}.toml"
    path = path if path.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.toml")))
        raise UsageError(f"There is no recipe {name_or_path!r}. Give a TOML file or one of: {names}.")
    try:
        values = tomllib.loads(path.read_text())
        recipe: Kind = build_config({"name": path.stem, **values}, kind)
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
