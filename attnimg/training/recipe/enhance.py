"""Recipes of enhancers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from attnimg.nets.enhancer.net import MULTIPLE, EnhancerConfig
from attnimg.training.recipe.common import Recipe

BRANCHES = ("exposure", "prior", "restore")


@dataclass(frozen=True)
class LowLight:
    """Parameters of simulated low light (`training.low_light`). Values are drawn between their bounds for each photo.

    exposure: share of the light that is left, drawn evenly in stops. uneven: most stops by which it differs over the
    photo, to either side. cast: largest change of a channel, in stops. gamma: exponent of the tone curve. shot, read:
    standard deviations of the photons' noise at full light and of the sensor's noise, drawn evenly in stops.
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

    trainable: branches of the net that are trained; the others keep the weights of the model that the run starts from
    (without one, all are trained). `prior` needs a trained `exposure`, which takes far less time than `restore`. size,
    start_size: side of the crops, multiples of 16. crops: number from each photo per epoch. min_crop_share: smallest
    share of a photo's sides that serves as a whole photo. exposure_only_samples: extra thumbnails per crop for the
    exposure branches; they are cheap, and many are needed. exposure_jitter: most stops by which dark photos are made
    brighter or darker. cast_jitter: most stops by which each of their colors changes in addition. identity_share:
    share of the examples that are photos in normal light, with themselves as targets. synthetic_share: share of the
    examples that are photos in normal light, darkened. ssim, psnr, exposure_loss_weight, prior_loss_weight: weights of
    four losses, added to Charbonnier's with weight 1: 1 - SSIM, lg of the squared error, brightness error of the whole
    photo before restoration, cross-entropy of its exposure.
    """

    task: ClassVar[str] = "enhance"

    net: EnhancerConfig = field(default_factory=EnhancerConfig)
    low_light: LowLight = field(default_factory=LowLight)
    trainable: tuple[str, ...] = BRANCHES
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
    min_crop_share: float = 0.5
    exposure_only_samples: int = 1
    exposure_jitter: float = 0.4
    cast_jitter: float = 0.0
    identity_share: float = 0.05
    synthetic_share: float = 0.0
    ssim: float = 0.2
    psnr: float = 0.0
    exposure_loss_weight: float = 0.5
    prior_loss_weight: float = 0.05

    def rules(self) -> dict[str, bool]:
        """Return conditions, as sentences, and whether each holds."""
        return super().rules() | {
            f"sizes must be multiples of {MULTIPLE}": self.size % MULTIPLE == self.start_size % MULTIPLE == 0,
            f"trainable must name {' or '.join(BRANCHES)}": set() < set(self.trainable) <= set(BRANCHES),
            "crops must be at least 1": self.crops >= 1,
            "exposure_only_samples must be at least 0": self.exposure_only_samples >= 0,
            "min_crop_share must be above 0 and at most 1": 0 < self.min_crop_share <= 1,
            "identity_share and synthetic_share must not sum to more than 1": self.identity_share + self.synthetic_share
            <= 1,
        }
