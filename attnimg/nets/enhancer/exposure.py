"""How far photos are to be brightened, judged from all of each by a small copy.

A pixel x in [0, 1] is brightened by the curve

    y = g x / (1 + (g - 1) x)        g >= 1; slope g in the shadows, 0 and 1 stay where they are

which is Reinhard's operator (Reinhard et al. 2002, https://doi.org/10.1145/566570.566575) brought back to [0, 1].

`Look` sees the photo squeezed into a small square, its colors and its grain: how much neighboring pixels differ tells
of noise, and so of the light that there was. It sees it brightened to a medium exposure, as how dark a photo is says
little of how bright the scene was meant to be. Self-attention lets each part of it know of all others, and a region
attention decides what the photo's exposure is judged by; it yields a gain per color and place, which goes from that of
the medium exposure as far up or down as what was attended to says, and a context.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg import attention
from attnimg.nets.backbone import Block, conv_norm

MOST_GAIN = 128.0  # 7 stops, which the darkest of LOL take; beyond, little but noise is left of 8 bits
MEDIUM = 0.5  # mean of the photo that is seen; one that is brighter needs no light
BISECTIONS = 16  # which leave less than 1/10,000 of brightness


class ExposureEstimate(NamedTuple):
    """What `look` makes of whole photos.

    log_gain: N x 3 x G x G, natural logarithm of the gain of each color on a grid over the photo. context: N x C.
    features: N x C x G x G.
    """

    log_gain: Tensor
    context: Tensor
    features: Tensor

    def rescaled_to(self, small: Tensor, exposure: Tensor | float) -> ExposureEstimate:
        """Return the same with the gain that leads to an exposure, see `expose`."""
        return self._replace(log_gain=rescale_gain(self.log_gain, small, exposure))


class GainHead(nn.Module):
    """Decides where to brighten and how far, by a change c that follows from the features:

        g = 1 + (g_medium - 1) e^c

    where g_medium is the gain that brings the whole photo to the medium exposure; 1, and so g, where it has that. A
    recorder takes it for a mechanism; its map says where light is added.
    """

    positional = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.here = nn.Conv2d(channels, 3, 1)
        self.everywhere = nn.Linear(channels, 3)
        for start in (self.here.weight, self.everywhere.weight, self.everywhere.bias):
            nn.init.zeros_(start)

    def weights(self, features: Tensor, context: Tensor, medium: Tensor) -> Tensor:
        """Return the gains, N x 3 x G x G, from 1 to `MOST_GAIN`."""
        return self.forward(features, context, medium).exp()

    def map(self, features: Tensor, context: Tensor, medium: Tensor) -> Tensor:
        """Return 1 - 1/g, mean over the colors, N x G x G: 0 where nothing is added, 0.5 where light is doubled."""
        return (1 - 1 / self.weights(features, context, medium)).mean(1)

    def forward(self, features: Tensor, context: Tensor, medium: Tensor) -> Tensor:
        """Return the logarithms of the gains, N x 3 x G x G.

        features: N x C x G x G. context: N x C. medium: N x 1 x 1 x 1, ln g_medium.
        """
        here = self.here(features)
        change = here - here.mean((2, 3), keepdim=True) + self.everywhere(context)[..., None, None]
        return F.softplus(change.float() + medium.expm1().log()).clamp(max=math.log(MOST_GAIN))


class ExposureNet(nn.Module):
    """Judges a photo's exposure from all of it.

    widths: channels at 1/2, 1/4 and 1/8 of the small copy; the last ones attend. mechanism, heads, blocks: of
    self-attention. pooling: mechanism that decides what the context is made of.
    """

    def __init__(self, widths: Sequence[int], mechanism: str, heads: int, blocks: int, pooling: str) -> None:
        super().__init__()
        inputs = 9
        self.stem = nn.Sequential()
        for width in widths:
            self.stem.extend([conv_norm(inputs, width, stride=2), nn.ReLU(inplace=True)])
            inputs = width
        self.blocks = nn.Sequential()
        for _ in range(blocks):
            self.blocks.append(attention.build(mechanism, inputs, heads=heads))
            self.blocks.append(Block(inputs, inputs, 1, "none", 0.0))
        self.attention = attention.build(pooling, inputs)
        self.gain = GainHead(inputs)

    def forward(self, x: Tensor) -> ExposureEstimate:
        """x: whole photos squeezed to N x 6 x S x S, colors and grain, in [0, 1]."""
        colors = x[:, :3]
        some = colors[..., ::2, ::2]  # of the pixels suffice for a mean
        medium = solve_gain(some, MEDIUM)  # (N, 1, 1, 1)
        spread = (1 + 255 * x).log() / math.log(256)  # which shows the shadows as they were
        features = self.blocks(self.stem(torch.cat([brighten(colors, medium.exp()), spread], 1)))  # (N, C, G, G)
        context = self.attention(features).mean((2, 3))  # (N, C)
        return ExposureEstimate(self.gain(features, context, medium), context, features)


def brighten(x: Tensor, gain: Tensor) -> Tensor:
    """Return g x / (1 + (g - 1) x), in [0, 1] for x in [0, 1]."""
    return gain * x / (1 + (gain - 1) * x)


def rescale_gain(log_gain: Tensor, small: Tensor, exposure: Tensor | float) -> Tensor:
    """Multiply gains so that the photos' mean becomes `exposure`, as nearly as gains from 1 to `MOST_GAIN` can.

    log_gain: N x 1 or 3 x G x G. small: N x 3 x S x S, the photos' small copies, in [0, 1]. exposure: one for all, or
    N x 1 x 1 x 1.
    """
    most = math.log(MOST_GAIN)
    fine = F.interpolate(log_gain, small.shape[2:], mode="bilinear")
    high = torch.full((len(small), 1, 1, 1), most, device=small.device)
    low = -high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        dark = brighten(small, (fine + middle).clamp(0, most).exp()).mean((1, 2, 3), keepdim=True) < exposure
        low, high = torch.where(dark, middle, low), torch.where(dark, high, middle)
    return (log_gain + low).clamp(0, most)


def solve_gain(small: Tensor, exposure: Tensor | float) -> Tensor:
    """Return ln g, N x 1 x 1 x 1, of the one gain that leads photos to an exposure, see `expose`."""
    return rescale_gain(torch.zeros_like(small[:, :1, :1, :1]), small, exposure)
