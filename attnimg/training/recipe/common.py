"""Recipes of all tasks: the settings that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attnimg.runtime import PRECISIONS

OPTIMIZERS = ("sgd", "adamw")


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run.

    size: side of the net's input in pixels. start_size: side in the first epoch; it grows to `size` until the share
    `grow_until` of the run (progressive resizing). batch_size: images per step over all devices. optimizer: sgd
    (Nesterov momentum) or adamw. learning_rate: the peak, reached after the share `warmup` of the run, followed by a
    cosine to zero. weight_decay: of matrices and kernels only. clip_gradient: largest norm (0: unlimited). ema: decay
    of the averaged weights, which are validated and kept. patience: epochs without a better score after which the run
    stops (0: never). precision: auto, fp32, bf16 or fp16.
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
        """Return conditions, as sentences, and whether each holds."""
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
