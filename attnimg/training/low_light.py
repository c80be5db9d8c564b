"""Simulation of low light: ordinary photos are darkened on the device, with a camera's noise.

Photons arrive at random, so their noise grows with the light; the sensor adds its own noise (Foi et al. 2008,
https://doi.org/10.1109/TIP.2008.2001399). In linear light

    z = e u c x + n,    n ~ N(0, s^2 e u c x + r^2)    e exposure, c color cast, s shot noise, r read noise

u varies smoothly over the photo, as the light of lamps does. The camera's tone curve follows. The photo's own noise is
multiplied by e, and then too small to matter.
"""

from __future__ import annotations

import math

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor
from torch.nn import functional as F

from attnimg.training.recipe import LowLight

LAMPS = 3  # points along a side between which the light varies


def simulate_low_light(photos: Tensor, config: LowLight) -> Tensor:
    """Darken photos N x 3 x H x W in [0, 1]; the conditions of each are drawn from torch's global generator."""

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(len(photos), channels, 1, 1, device=photos.device)

    def draw_stops(bounds: tuple[float, ...]) -> Tensor:
        return draw(math.log2(bounds[0]), math.log2(bounds[1])).exp2()

    lamps = config.uneven * (2 * torch.rand(len(photos), 1, LAMPS, LAMPS, device=photos.device) - 1)
    uneven = F.interpolate(lamps, photos.shape[2:], mode="bicubic", align_corners=True).exp2()
    light = rgb_to_linear_rgb(photos) * draw_stops(config.exposure) * draw(-config.cast, config.cast, 3).exp2() * uneven
    shot, read = draw_stops(config.shot), draw_stops(config.read)
    light = light + torch.randn_like(light) * (shot**2 * light + read**2).sqrt()
    codes: Tensor = linear_rgb_to_rgb(light.clamp(0, 1)) ** draw(*config.gamma)
    return codes
