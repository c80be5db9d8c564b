"""The enhancer: exposure estimation from a thumbnail, a prior over exposures, and restoration of the brightened photo.

`ExposureNet` (`exposure.py`) takes a thumbnail of the whole photo, and returns a gain map per color and a context
vector. `ExposurePrior` (`exposure_prior.py`) predicts a distribution over exposures from the context. `RestorationNet`
removes noise and color casts from the brightened photo. It is a U-net (Ronneberger et al. 2015,
https://arxiv.org/abs/1505.04597) at a quarter of the resolution and below (pixel unshuffle, Shi et al. 2016,
https://arxiv.org/abs/1609.05158), whose channels are modulated by the context (FiLM, Perez et al. 2018,
https://arxiv.org/abs/1709.07871). It predicts a residual to a smoothed copy of the photo, which is easier to learn than
the noise. Its result has the weight 1 - 1/g^2 against the brightened photo, so photos that need no light stay as they
are. It sees the whole photo only through the exposure estimate, so photos can be restored in tiles.

The branches are trained separately: exposure and prior on whole photos, restoration on crops that were brightened to
the mean of the reference photo. Otherwise restoration would memorize the exposures of the training photos.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.nets.enhancer.exposure import ExposureEstimate, ExposureNet, brighten
from attnimg.nets.enhancer.exposure_prior import ExposurePrior

UNSHUFFLE = 4  # the U-net starts at a quarter of the resolution
LEVELS = 3  # of the U-net
MULTIPLE = UNSHUFFLE << (LEVELS - 1)  # 16: sides of the restoration net's input are multiples, for the deepest level


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
    """Scales and shifts channels by a context vector (FiLM): channel attention that depends on the whole photo."""

    def __init__(self, context: int, channels: int) -> None:
        super().__init__()
        self.project = nn.Linear(context, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Modulate x, N x C x H x W, by the context, N x D."""
        scale, shift = self.project(context)[..., None, None].chunk(2, 1)
        return torch.addcmul(x + shift, x, scale)


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions. It has no batch norm, as statistics of dark photos vary too much."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # the block starts as the identity, so deep nets train from the first step

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to the same shape."""
        out: Tensor = x + self.conv2(self.conv1(x).relu_())
        return out


class Stage(nn.Module):
    """One level of the U-net: modulation, then residual blocks."""

    def __init__(self, channels: int, depth: int, context: int) -> None:
        super().__init__()
        self.modulate = FiLM(context, channels)
        self.blocks = nn.Sequential(*(Residual(channels) for _ in range(depth)))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Map x, N x C x H x W, to the same shape. context: N x D."""
        out: Tensor = self.blocks(self.modulate(x, context))
        return out


class RestorationNet(nn.Module):
    """Removes noise and color casts from brightened photos, or from tiles of them."""

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
        """Return restored photos, N x 3 x H x W, about in [0, 1].

        bright: N x 3 x H x W. log_gain: N x 3 x H/4 x W/4. features: of the exposure net, N x C x H/16 x W/16. context:
        N x C.
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
    """Enhances photos taken in low light."""

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
        """Estimate the exposure of M whole photos, and enhance tiles of the first N at a given exposure, for training.

        x, box: see `enhance`. thumbnails: M x 6 x S x S, see `ExposureNet`. exposure: N x 1 x 1 x 1, mean that the
        whole photos are brightened to. Returns the tiles, not clipped to [0, 1], and for all M photos the exposure
        estimate and the prior's log-probabilities. No gradient flows from tiles and prior to the exposure net.
        """
        estimate = self.exposure(thumbnails)
        own = ExposureEstimate(*(part[: len(x)].detach() for part in estimate))
        bright, added = self.enhance(x, own.rescaled_to(thumbnails[: len(x), :3], exposure), box)
        return bright + added, estimate, self.prior(estimate.context.detach())

    def enhance(self, x: Tensor, estimate: ExposureEstimate, box: Tensor) -> tuple[Tensor, Tensor]:
        """Enhance photos or tiles of them.

        x: N x 3 x H x W in [0, 1], sides multiples of 16. estimate: of the whole photos. box: N x 4, position of each
        tile in its photo: top, left, bottom, right in [0, 1]. Returns the brightened tiles, and the correction to add
        to them (before clipping to [0, 1]), both N x 3 x H x W.
        """
        cells = estimate.log_gain.shape[-1]
        with torch.autocast(x.device.type, enabled=False):  # a rounded gain would show as bands
            rows, columns = (spline(box[:, i], box[:, i + 2], x.shape[2 + i], cells) for i in (0, 1))
            gain = resample(estimate.log_gain, rows, columns).exp()
            bright = brighten(x, gain)
            quarter, sixteenth = ((shrink(rows, n), shrink(columns, n)) for n in (UNSHUFFLE, MULTIPLE))
            log_gain, features = resample(estimate.log_gain, *quarter), resample(estimate.features.float(), *sixteenth)
        clean = self.restore(bright, log_gain, features, estimate.context)
        return bright, (clean.float() - bright) * (1 - gain**-2)

    @staticmethod
    def example_inputs(size: int) -> tuple[tuple[Tensor, ...], float]:
        """Return inputs for counting operations, and the number of megapixels in them. size: side of the thumbnail."""
        photo, whole = torch.zeros(1, 3, 1024, 1024), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        return (photo, torch.zeros(1, 6, size, size), whole, torch.tensor(0.5)), photo[0, 0].numel() / 1e6


def spline(begin: Tensor, end: Tensor, length: int, cells: int) -> Tensor:
    """Return the weights of a grid's cells at each pixel of tiles, N x length x cells. Rows sum to one.

    begin, end: positions of the tile's ends along the side of its photo, in [0, 1], N. cells: number along that side.
    The weights are quadratic B-splines: they are smooth, so a coarse grid leaves no creases, and never overshoot.
    """
    share = (torch.arange(length, device=begin.device, dtype=begin.dtype) + 0.5) / length  # (length,)
    place = (begin[:, None] + (end - begin)[:, None] * share).clamp(0, 1) * cells - 0.5  # (N, length), in cells
    distance = (place[..., None] - torch.arange(-1, cells + 1, device=begin.device)).abs()  # one more cell at both ends
    weights = torch.where(distance < 0.5, 0.75 - distance**2, 0.5 * (1.5 - distance).clamp(min=0) ** 2)
    inner = weights[..., 1:-1].clone()
    inner[..., 0] += weights[..., 0]  # border cells are repeated outside
    inner[..., -1] += weights[..., -1]
    return inner


def shrink(weights: Tensor, factor: int) -> Tensor:
    """Average a spline's weights over runs of `factor` pixels: N x length x cells to N x length / factor x cells."""
    n, length, cells = weights.shape
    return weights.reshape(n, length // factor, factor, cells).mean(2)


def resample(grid: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Interpolate grids, N x C x G x G, by spline weights of rows and columns, to N x C x H x W."""
    return torch.einsum("nhi,ncij,nwj->nchw", rows, grid, columns)
