"""The enhancer: exposure estimation by a thumbnail, a prior over exposures, and restoration of the brightened photo.

`ExposureNet` (`exposure.py`) sees a thumbnail of the whole photo, and returns a gain per color and place, and a context
vector. `ExposurePrior` (`exposure_prior.py`) predicts a distribution over exposures from the context. `RestorationNet`
removes noise and color casts from the brightened photo, by a U-net (Ronneberger et al. 2015,
https://arxiv.org/abs/1505.04597) from a quarter of the resolution downwards (pixel unshuffle, Shi et al. 2016,
https://arxiv.org/abs/1609.05158), whose channels are modulated by the context (FiLM, Perez et al. 2018,
https://arxiv.org/abs/1709.07871). It predicts the photo on top of a smoothed copy, which is easier to learn than the
noise. Its result weighs 1 - 1/g^2 against the brightened photo, so that a photo that needs no light is left alone. It
sees the whole photo only through the exposure estimate, so that photos can be restored in tiles.

The branches are trained separately: exposure and prior on whole photos, restoration on parts of photos that were
brightened to the mean of the truth. Otherwise it would memorize the exposures of the training photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.nets.enhancer.exposure import ExposureEstimate, ExposureNet, brighten
from attnimg.nets.enhancer.exposure_prior import ExposurePrior

UNSHUFFLE = 4  # most arithmetic happens at a quarter of the resolution and below
LEVELS = 3  # of the U-net
MULTIPLE = UNSHUFFLE << (LEVELS - 1)  # of the sides that `restore` takes: 16, the deepest level's


@dataclass(frozen=True)
class EnhancerConfig:
    """The configuration of an enhancer.

    thumbnail: side in pixels of the square that the exposure net sees. exposure_widths: its channels at 1/2, 1/4 and
    1/8 of that. attention, heads, exposure_blocks: its self-attention mechanism at 1/8, the heads, and the number of
    blocks. pooling: mechanism that pools the context. widths, depths: channels and blocks of the restoration net at
    1/4, 1/8 and 1/16 of the photo.
    """

    thumbnail: int = 128
    exposure_widths: tuple[int, ...] = (32, 64, 80)
    attention: str = "self"
    heads: int = 2
    exposure_blocks: int = 2
    pooling: str = "region"
    widths: tuple[int, ...] = (48, 88, 128)
    depths: tuple[int, ...] = (2, 2, 2)

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.depths) == LEVELS:
            raise ValueError(f"widths and depths of an enhancer must be {LEVELS} numbers each")


class FiLM(nn.Module):
    """Scales and shifts channels as a context says (FiLM): channel attention whose gates see the whole photo."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(context, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x: N x C x H x W; context: N x D."""
        scale, shift = self.project(context)[..., None, None].chunk(2, 1)
        return torch.addcmul(x + shift, x, scale)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, without normalisation: batches of dark photos differ too much for it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # the block starts as its shortcut, so that deep nets train from the start

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        out: Tensor = x + self.conv2(self.conv1(x).relu_())
        return out


class Stage(nn.Module):
    """One resolution of the U-net: modulate, then residual blocks."""

    def __init__(self, channels: int, depth: int, context: int) -> None:
        super().__init__()
        self.modulate = FiLM(context, channels)
        self.blocks = nn.Sequential(*(Residual(channels) for _ in range(depth)))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """N x C x H x W and N x D to N x C x H x W."""
        out: Tensor = self.blocks(self.modulate(x, context))
        return out


class RestorationNet(nn.Module):
    """Brightened photos, or tiles of them, to clean ones."""

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__()
        context, (shallow, *deeper) = config.exposure_widths[-1], config.widths
        self.stem = nn.Conv2d(3 * UNSHUFFLE**2 + 3, shallow, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.encoder = nn.ModuleList([Stage(shallow, config.depths[0], context)])
        self.decoder = nn.ModuleList()
        inputs = shallow
        for width, depth in zip(deeper, config.depths[1:], strict=True):
            self.down.append(nn.Conv2d(inputs, width, 2, 2))
            self.encoder.append(Stage(width, depth, context))
            self.up.append(nn.Conv2d(width, 4 * inputs, 1))
            self.decoder.append(Stage(inputs, config.depths[len(self.decoder)], context))
            inputs = width
        self.bottleneck_context = nn.Conv2d(context, inputs, 1)
        self.head = nn.Conv2d(shallow, 3 * UNSHUFFLE**2, 3, padding=1)
        for start in self.head.parameters():
            nn.init.zeros_(start)

    def forward(self, bright: Tensor, log_gain: Tensor, features: Tensor, context: Tensor) -> Tensor:
        """Return photos without noise and casts, N x 3 x H x W, about in [0, 1].

        bright: N x 3 x H x W. log_gain: N x 3 x H/4 x W/4. around: the look's features at 1/16. context: N x C.
        """
        x = F.pixel_unshuffle(bright - 0.5, UNSHUFFLE)  # (N, 48, H/4, W/4)
        x = self.encoder[0](self.stem(torch.cat([x, log_gain], 1)), context)
        skips = []
        for down, level in zip(self.down, self.encoder[1:], strict=True):
            skips.append(x)
            x = down(x)
            if len(skips) == len(self.down):
                x = x + self.bottleneck_context(features)
            x = level(x, context)
        for up, level in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = level(F.pixel_shuffle(up(x), 2) + skips.pop(), context)
        smooth = F.interpolate(F.avg_pool2d(bright, UNSHUFFLE), scale_factor=UNSHUFFLE, mode="bilinear")
        return smooth + F.pixel_shuffle(self.head(x), UNSHUFFLE)


class EnhancerNet(nn.Module):
    """Dark photos to bright ones."""

    Config = EnhancerConfig

    def __init__(self, config: EnhancerConfig) -> None:
        super().__init__()
        self.config = config
        self.exposure = ExposureNet(
            config.exposure_widths, config.attention, config.heads, config.exposure_blocks, config.pooling
        )
        self.prior = ExposurePrior(config.exposure_widths[-1])
        self.restore = RestorationNet(config)

    def forward(
        self, x: Tensor, thumbnails: Tensor, box: Tensor, exposure: Tensor
    ) -> tuple[Tensor, ExposureEstimate, Tensor]:
        """Look at M whole photos and enhance tiles of the first N of them at a given exposure: for training.

        x, box: as of `enhance`. thumbnails: as of `Look`. exposure: N x 1 x 1 x 1, the mean that the whole photos are
        to be brightened to. Returns the tiles, not yet cut to [0, 1], and of all M photos what was seen, and the odds;
        no gradient flows from the tiles and the odds to `look`.
        """
        seen = self.exposure(thumbnails)
        own = ExposureEstimate(*(part[: len(x)].detach() for part in seen))
        bright, added = self.enhance(x, own.rescaled_to(thumbnails[: len(x), :3], exposure), box)
        return bright + added, seen, self.prior(seen.context.detach())

    def enhance(self, x: Tensor, seen: ExposureEstimate, box: Tensor) -> tuple[Tensor, Tensor]:
        """Enhance photos or tiles of them.

        x: N x 3 x H x W in [0, 1], sides multiples of 16. seen: what `look` made of the photos. box: N x 4, where in
        its photo each tile lies: top, left, bottom, right in [0, 1]. Returns what is brightened, and what is to be
        added to that (before it is cut to [0, 1]), both N x 3 x H x W.
        """
        with torch.autocast(x.device.type, enabled=False):  # a rounded gain would show as bands
            rows, columns = (spline(box[:, i], box[:, i + 2], x.shape[2 + i], seen.log_gain.shape[-1]) for i in (0, 1))
            gain = resample(seen.log_gain, rows, columns).exp()
            bright = brighten(x, gain)
            quarter, sixteenth = ((shrink(rows, n), shrink(columns, n)) for n in (UNSHUFFLE, MULTIPLE))
            log_gain, around = resample(seen.log_gain, *quarter), resample(seen.features.float(), *sixteenth)
        clean = self.restore(bright, log_gain, around, seen.context)
        return bright, (clean.float() - bright) * (1 - gain**-2)


def spline(begin: Tensor, end: Tensor, length: int, cells: int) -> Tensor:
    """Return the weights of a grid's cells at each pixel of tiles, N x length x cells; rows sum to one.

    begin, end: N, where the tile begins and ends along the side of its photo, in [0, 1]. cells: of the grid, along that
    side. Quadratic B-splines: smooth, so that a coarse grid leaves no creases, and never beyond the cells' values.
    """
    share = (torch.arange(length, device=begin.device, dtype=begin.dtype) + 0.5) / length  # (length,)
    place = (begin[:, None] + (end - begin)[:, None] * share).clamp(0, 1) * cells - 0.5  # (N, length), in cells
    distance = (place[..., None] - torch.arange(-1, cells + 1, device=begin.device)).abs()  # a cell more at both ends
    weights = torch.where(distance < 0.5, 0.75 - distance**2, 0.5 * (1.5 - distance).clamp(min=0) ** 2)
    inner = weights[..., 1:-1].clone()
    inner[..., 0] += weights[..., 0]  # the border's value goes on outside
    inner[..., -1] += weights[..., -1]
    return inner


def shrink(weights: Tensor, factor: int) -> Tensor:
    """Average a spline's weights over runs of `factor` pixels: N x length x cells to N x length / factor x cells."""
    n, length, cells = weights.shape
    return weights.reshape(n, length // factor, factor, cells).mean(2)


def resample(grid: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return a grid's values, N x C x G x G, at the pixels that the splines were made for, N x C x H x W."""
    return torch.einsum("nhi,ncij,nwj->nchw", rows, grid, columns)
