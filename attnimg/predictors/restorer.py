"""Restorers run a net that restores photos: arrays in, arrays out, tile by tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attnimg.attention import Recorder
from attnimg.errors import UsageError
from attnimg.images.pixels import Pixels
from attnimg.models.device import autocast, place_net, torch_memory_errors
from attnimg.models.preprocessing import Preprocessing
from attnimg.nets.enhancer.exposure import ExposureEstimate
from attnimg.nets.enhancer.net import MULTIPLE, EnhancerNet
from attnimg.predictors.exposure import average_rotations, estimate_exposure_tta

Estimate = TypeVar("Estimate")

DETAIL = 9  # pixels; noise and texture are smaller, color casts and shading are larger


@dataclass(frozen=True)
class Settings:
    """Strength of the enhancement.

    strength: blend of the photo (0) and the net's result (1). exposure: mean of the brightened photo, 0 to 1, before
    restoration; None: the net's estimate. denoise: share of the denoising, 0 (none) to 1 (the net's result).
    UsageError: a value is outside 0 to 1.
    """

    strength: float = 1.0
    exposure: float | None = None
    denoise: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} is {value}; give a number between 0 and 1.")


DEFAULTS = Settings()


class Restorer(Protocol[Estimate]):
    """Runs a net that first sees a photo's thumbnail, and then restores the photo in tiles.

    size: side of the thumbnails, see `exposure.make_thumbnail`. multiple: tiles start at multiples of it, in pixels.
    margin: width of the surroundings that influence a tile, in pixels. device: type of the device.
    """

    size: int
    multiple: int
    margin: int
    device: str

    def estimate(
        self, thumbnails: NDArray[np.float32], settings: Settings, *, attention: bool = False
    ) -> tuple[Estimate, NDArray[np.float32] | None]:
        """Return the estimate from thumbnails N x S x S x 6, and the attention maps N x G x G if requested."""
        ...

    def select(self, estimate: Estimate, part: slice) -> Estimate:
        """Return the estimate for a slice of the photos."""
        ...

    def restore(
        self, tiles: Pixels, estimate: Estimate, origin: tuple[int, int], size: tuple[int, int], settings: Settings
    ) -> Pixels:
        """Restore tiles N x H x W x 3, one of each photo.

        origin: top and left of the tile in its photo. size: height and width of the photo. MemoryError: the device has
        too little memory.
        """
        ...


class TwoStageRestorer:
    """Runs `EnhancerNet`: exposure estimation from the thumbnail, then restoration of the brightened photo."""

    multiple = MULTIPLE
    margin = 64  # pixels; the influence of more distant ones is below 1/255

    def __init__(self, net: EnhancerNet, header: Mapping[str, Any], *, device: str, precision: str) -> None:
        self.size = Preprocessing.of(header, "squeeze").size
        self._attention: str | None = header.get("attention")
        self._net, self._device, self._dtype = place_net(net, device, precision)
        self.device = self._device.type

    @torch_memory_errors()
    def estimate(
        self, thumbnails: NDArray[np.float32], settings: Settings, *, attention: bool = False
    ) -> tuple[ExposureEstimate, NDArray[np.float32] | None]:
        """See `Restorer`."""
        small = torch.from_numpy(thumbnails).to(self._device).permute(0, 3, 1, 2)
        name = self._attention if attention else None
        recorder = Recorder(self._net, {name} if name else set())
        with recorder, torch.inference_mode(), autocast(self._device, self._dtype):
            found = estimate_exposure_tta(self._net, small)
        map_ = average_rotations(recorder.maps[name]).cpu().numpy() if name else None
        if settings.exposure is not None:
            with torch.inference_mode():
                found = found.rescaled_to(small[:, :3], settings.exposure)
        return found, map_

    def select(self, estimate: ExposureEstimate, part: slice) -> ExposureEstimate:
        """See `Restorer`."""
        return ExposureEstimate(*(values[part] for values in estimate))

    @torch_memory_errors()
    def restore(
        self,
        tiles: Pixels,
        estimate: ExposureEstimate,
        origin: tuple[int, int],
        size: tuple[int, int],
        settings: Settings,
    ) -> Pixels:
        """See `Restorer`."""
        full = float(np.iinfo(tiles.dtype).max)
        height, width = tiles.shape[1:3]
        with torch.inference_mode(), autocast(self._device, self._dtype):
            x = torch.from_numpy(tiles if tiles.dtype == np.uint8 else tiles.astype(np.int32)).to(self._device)
            x = x.permute(0, 3, 1, 2).float().div_(full)
            x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
            box = torch.tensor([*origin, origin[0] + x.shape[2], origin[1] + x.shape[3]]) / torch.tensor(size).repeat(2)
            bright, added = self._net.enhance(x, estimate, box.to(self._device).expand(len(x), 4))
            y = bright.add_(_smooth(added, settings.denoise))
            y = torch.lerp(x, y.clamp_(0, 1), settings.strength)
            y = y[..., :height, :width].permute(0, 2, 3, 1).mul_(full).round_()
            y = y.to(torch.uint8 if full == 255 else torch.int32).contiguous()
        return y.cpu().numpy().astype(tiles.dtype, copy=False)


def _smooth(added: Tensor, denoise: float) -> Tensor:
    """Scale the corrections of details by `denoise`, and keep the corrections of larger structures."""
    if denoise == 1:
        return added
    larger = F.avg_pool2d(added, DETAIL, 1, DETAIL // 2, count_include_pad=False)
    return torch.lerp(larger, added, denoise)
