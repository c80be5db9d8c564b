"""What decides a run of an enhancer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from attnimg.nets.enhancer.net import MULTIPLE, EnhancerConfig
from attnimg.training.recipe.common import Recipe

BRANCHES = ("exposure", "prior", "restore")


@dataclass(frozen=True)
class LowLight:
    """How ordinary photos are darkened (`training.low_light`), each value drawn between its bounds.

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

    trainable: branches of the net that are trained; the others keep the weights of the model to start from (without
    one, all are trained). `prior` needs a trained `exposure`, which takes far less time than `restore`. size,
    start_size: side of the crops, multiples of 16. crops: from each photo per epoch. min_crop_share: smallest share of
    a photo's sides that serves as a whole photo. exposure_only_samples: extra thumbnails per crop for the exposure
    branches: cheap, and they need many. exposure_jitter: most stops by which dark photos are made brighter or darker.
    cast_jitter: most stops by which each of their colors changes besides. identity_share: share of examples in normal
    light that are to stay as they are. synthetic_share: share of such photos that are darkened. ssim, psnr,
    exposure_loss_weight, prior_loss_weight: weights, beside 1 for Charbonnier, of the losses 1 - SSIM, lg of the
    squared error, brightness error of the whole photo before restoration, and cross-entropy of its exposure.
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
        """Return what must hold, as sentences, and whether it does."""
        return super().rules() | {
            f"sizes must be multiples of {MULTIPLE}": self.size % MULTIPLE == self.start_size % MULTIPLE == 0,
            f"trainable must name {' or '.join(BRANCHES)}": set() < set(self.trainable) <= set(BRANCHES),
            "crops must be at least 1": self.crops >= 1,
            "exposure_only_samples must be at least 0": self.exposure_only_samples >= 0,
            "min_crop_share must be above 0 and at most 1": 0 < self.min_crop_share <= 1,
            "identity_share and synthetic_share must not sum to more than 1": self.identity_share + self.synthetic_share
            <= 1,
        }
