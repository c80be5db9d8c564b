"""Bytes to what a net takes: the division and the normalisation happen on the device, by Kornia."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from kornia.enhance import normalize
from torch import Tensor


@dataclass(frozen=True)
class Normalize:
    """Subtracts the mean and divides by the standard deviation of each colour channel (RGB, of images in [0, 1])."""

    mean: tuple[float, float, float] = (0.4802, 0.4481, 0.3975)
    std: tuple[float, float, float] = (0.2770, 0.2691, 0.2821)

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Normalize:
        """Return what a header's `preprocessing` says."""
        return cls(tuple(header["mean"]), tuple(header["std"]))

    def __call__(self, images: Tensor) -> Tensor:
        """images: N x 3 x H x W in [0, 1]; returns the same shape, of about zero mean and unit variance."""
        mean = torch.tensor(self.mean, device=images.device, dtype=images.dtype)
        std = torch.tensor(self.std, device=images.device, dtype=images.dtype)
        normalized: Tensor = normalize(images, mean, std)
        return normalized


def to_float(pixels: Tensor) -> Tensor:
    """N x H x W x 3 uint8 to N x 3 x H x W float32 in [0, 1]; a channels-last view, no copy but the division's."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)
