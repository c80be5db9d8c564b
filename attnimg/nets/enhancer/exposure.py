"""Exposure estimation: a net predicts a photo's gain map from a thumbnail of the whole photo.

A pixel x in [0, 1] is brightened with the gain g by the curve

    y = g x / (1 + (g - 1) x)        g >= 1; slope g at 0, fixed points 0 and 1

It is Reinhard's operator (Reinhard et al. 2002, https://doi.org/10.1145/566570.566575), rescaled to [0, 1].

`ExposureNet` takes a thumbnail of the photo's colors and grain. Grain is the difference of neighboring pixels; it
indicates noise, and thus how much light there was. The thumbnail is first brightened to a medium exposure, as a photo's
darkness says little about the intended brightness of the scene. Self-attention exchanges information between all
positions. A region attention pools the features into a context vector. The output is a gain map per color, relative to
the gain of the medium exposure, and the context.
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

MOST_GAIN = 128.0  # 7 stops, as the darkest photos of LOL need; with more, 8 bits hold little but noise
MEDIUM = 0.5  # mean brightness of the medium exposure; brighter photos are not brightened
BISECTIONS = 16  # leave an error below 1/10,000 in brightness


class ExposureEstimate(NamedTuple):
    """The exposure estimate of N whole photos.

    log_gain: gain map, N x 3 x G x G, natural logarithm of the gain per color on a grid over the photo. context: pooled
    features, N x C. features: N x C x G x G.
    """

    log_gain: Tensor
    context: Tensor
    features: Tensor

    def rescaled_to(self, small: Tensor, exposure: Tensor | float) -> ExposureEstimate:
        """Return the estimate with the gain map scaled to a target exposure, see `rescale_gain`."""
        return self._replace(log_gain=rescale_gain(self.log_gain, small, exposure))


class GainHead(nn.Module):
    """Predicts the gain map from features, by an exposure shift c per color and position:

        g = 1 + (g_medium - 1) e^c

    g_medium is the gain that brings the whole photo to the medium exposure. It is 1 for brighter photos; then g is 1,
    too. The head is an attention mechanism for recorders; its map shows where light is added.
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
        """Return 1 - 1/g, mean over the colors, N x G x G: 0 where no light is added, 0.5 where it is doubled."""
        return (1 - 1 / self.weights(features, context, medium)).mean(1)

    def forward(self, features: Tensor, context: Tensor, medium: Tensor) -> Tensor:
        """Return the log gains, N x 3 x G x G.

        features: N x C x G x G. context: N x C. medium: N x 1 x 1 x 1, ln g_medium.
        """
        here = self.here(features)
        shift = here - here.mean((2, 3), keepdim=True) + self.everywhere(context)[..., None, None]
        return F.softplus(shift.float() + medium.expm1().log()).clamp(max=math.log(MOST_GAIN))


class ExposureNet(nn.Module):
    """Estimates the exposure of photos from thumbnails.

    widths: channels at 1/2, 1/4 and 1/8 of the thumbnail's resolution; self-attention runs at 1/8. mechanism, heads,
    blocks: of self-attention. pooling: mechanism that pools the features into the context.
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
        """Estimate the exposure of thumbnails N x 6 x S x S, colors and grain in [0, 1]."""
        colors = x[:, :3]
        some = colors[..., ::2, ::2]  # a quarter of the pixels suffices for a mean
        medium = solve_gain(some, MEDIUM)  # (N, 1, 1, 1)
        spread = (1 + 255 * x).log() / math.log(256)  # logarithmic scale, which resolves the original shadows
        features = self.blocks(self.stem(torch.cat([brighten(colors, medium.exp()), spread], 1)))  # (N, C, G, G)
        context = self.attention(features).mean((2, 3))  # (N, C)
        return ExposureEstimate(self.gain(features, context, medium), context, features)


def brighten(x: Tensor, gain: Tensor) -> Tensor:
    """Return g x / (1 + (g - 1) x), in [0, 1] for x in [0, 1]."""
    return gain * x / (1 + (gain - 1) * x)


def rescale_gain(log_gain: Tensor, small: Tensor, exposure: Tensor | float) -> Tensor:
    """Scale gain maps so that the brightened photos have the mean `exposure`, or the nearest that gains allow.

    Gains stay between 1 and `MOST_GAIN`. log_gain: N x 1 or 3 x G x G. small: thumbnails in [0, 1], N x 3 x S x S.
    exposure: one for all photos, or N x 1 x 1 x 1.
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
    """Return ln g, N x 1 x 1 x 1, of the uniform gain that brings photos to a mean `exposure`, see `rescale_gain`."""
    return rescale_gain(torch.zeros_like(small[:, :1, :1, :1]), small, exposure)
