"""Ordinary photos made dark on the device, with the noise that a camera would have had.

Photons arrive at random, so their noise grows with the light, and the sensor adds its own (Foi et al. 2008,
https://doi.org/10.1109/TIP.2008.2001399): in linear light

    z = e c x + n,    n ~ N(0, s^2 e c x + r^2)      e exposure, c colour cast, s shot noise, r read noise

after which the camera's tone curve and 8 bits follow. The photo's own noise, divided by 1/e, is too small to matter.
"""

from __future__ import annotations

import math

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor

from attnimg.training.recipe import Darkness


class Night:
    """One drawing of conditions for N photos; all of it comes from torch's global generator."""

    def __init__(self, config: Darkness, count: int, device: torch.device) -> None:
        def draw(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(count, *(shape or (1,)), 1, 1, device=device)

        def draw_stops(bounds: tuple[float, ...]) -> Tensor:
            return draw(math.log2(bounds[0]), math.log2(bounds[1])).exp2()

        self.light = draw_stops(config.exposure) * draw(-config.cast, config.cast, 3).exp2()  # (N, 3, 1, 1)
        self.gamma = draw(*config.gamma)
        self.shot, self.read = draw_stops(config.shot), draw_stops(config.read)

    def darken(self, photos: Tensor, noise: bool = True) -> Tensor:
        """Darken photos N x 3 x H x W in [0, 1]; without noise for scaled-down ones, in which it averages out."""
        light = rgb_to_linear_rgb(photos) * self.light
        if noise:
            light = light + torch.randn_like(light) * (self.shot**2 * light + self.read**2).sqrt()
        codes = linear_rgb_to_rgb(light.clamp(0, 1)) ** self.gamma
        dark: Tensor = (codes * 255).round() / 255 if noise else codes
        return dark
