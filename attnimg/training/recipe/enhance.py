"""What decides a run of an enhancer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from attnimg.nets.enhancer import MULTIPLE, EnhancerConfig
from attnimg.training.recipe.common import Recipe

BRANCHES = ("look", "odds", "restore")


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

    learns: the branches of the net that are trained; the others stay as the net to start from has them (without one,
    all learn). `odds` needs a `look` that is done, which is much sooner than `restore`. size, start_size: side of the
    crops, multiples of 16. crops: from each photo per epoch. window: smallest share of a photo's sides that is taken
    for a whole photo. glances: photos that are only looked at, for each that is restored, while `look` or `odds`
    learns: judging exposure is cheap and wants many. exposure: dark photos are made brighter or darker by up to this
    many stops. cast: each of their colours by up to so many more, as a camera evens casts out in normal light. bright:
    share of the examples that are photos in normal light, which are to stay as they are. synthetic: share that are such
    photos, darkened. ssim, psnr, glance, odds: weights, beside Charbonnier's of 1, of the losses 1 - SSIM, lg of the
    squared error, the error of the whole photo's brightness before it is restored, and the cross-entropy of its
    exposure.
    """

    task: ClassVar[str] = "enhance"

    net: EnhancerConfig = field(default_factory=EnhancerConfig)
    darkness: Darkness = field(default_factory=Darkness)
    learns: tuple[str, ...] = BRANCHES
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
    cast: float = 0.0
    bright: float = 0.05
    synthetic: float = 0.0
    ssim: float = 0.2
    psnr: float = 0.0
    glance: float = 0.5
    odds: float = 0.05

    def rules(self) -> dict[str, bool]:
        """Return what must hold, as sentences, and whether it does."""
        return super().rules() | {
            f"sizes must be multiples of {MULTIPLE}": self.size % MULTIPLE == self.start_size % MULTIPLE == 0,
            f"learns must name {' or '.join(BRANCHES)}": set() < set(self.learns) <= set(BRANCHES),
            "crops must be at least 1": self.crops >= 1,
            "glances must be at least 0": self.glances >= 0,
            "window must be above 0 and at most 1": 0 < self.window <= 1,
            "bright and synthetic must not sum to more than 1": self.bright + self.synthetic <= 1,
        }
