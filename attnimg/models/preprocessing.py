"""Preprocessing of photos into a net's input, as data in a model's header that its predictor reads.

Photos are copied to the device as bytes. Division and normalization (by Kornia) run there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import torch
from kornia.enhance import normalize
from torch import Tensor

MOST_SIZE = 4096  # pixels along a side of a net's input

Fit = Literal["square", "shortest", "squeeze"]
"""The way in which a photo is scaled to `Preprocessing.size`: square crops of it; the whole photo by its shortest side;
the whole photo squeezed into a square."""

RGB = tuple[float, float, float]

_KEYS = ("fit", "size", "mean", "std")


@dataclass(frozen=True)
class Preprocessing:
    """The `preprocessing` of a header.

    fit: see `Fit`. size: side in pixels that `fit` scales to. mean, std: of each color channel, for pixels in [0, 1]:
    the mean is subtracted and the result divided by std. Both None: pixels stay in [0, 1].
    """

    fit: Fit
    size: int
    mean: RGB | None = None
    std: RGB | None = None

    @classmethod
    def of(cls, header: Mapping[str, Any], *fits: Fit) -> Self:
        """Read a model's header. fits: those that its predictor supports. ValueError: a value is missing or wrong."""
        values = header.get("preprocessing")
        if not isinstance(values, dict) or set(values) - set(_KEYS):
            raise ValueError(f"preprocessing must be an object of {', '.join(_KEYS)}, not {values!r}")
        fit, size = values.get("fit"), values.get("size")
        if fit not in fits or fit not in get_args(Fit):
            raise ValueError(f"fit must be {' or '.join(fits)}, not {fit!r}")
        if type(size) is not int or not 1 <= size <= MOST_SIZE:
            raise ValueError(f"size must be 1 to {MOST_SIZE}, not {size!r}")
        mean, std = _numbers(values, "mean"), _numbers(values, "std", positive=True)
        if (mean is None) != (std is None):
            raise ValueError("mean and std must be given together")
        return cls(fit, size, mean, std)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object for a header, without keys whose value is None."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def __call__(self, pixels: Tensor) -> Tensor:
        """Convert N x H x W x 3 uint8 to the net's input, N x 3 x H x W float32, a channels-last view of one copy."""
        return self.normalize(to_float(pixels))

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize images N x 3 x H x W in [0, 1] to about zero mean and unit variance."""
        if self.mean is None or self.std is None:
            return images
        mean = torch.tensor(self.mean, device=images.device, dtype=images.dtype)
        std = torch.tensor(self.std, device=images.device, dtype=images.dtype)
        normalized: Tensor = normalize(images, mean, std)
        return normalized


def _numbers(values: Mapping[str, Any], name: str, *, positive: bool = False) -> RGB | None:
    found = values.get(name)
    if found is None:
        return None
    if not isinstance(found, list | tuple) or len(found) != 3 or not all(_is_number(v, positive) for v in found):
        raise ValueError(f"{name} must be three numbers, not {found!r}")
    red, green, blue = found
    return red, green, blue


def _is_number(value: Any, positive: bool) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and (value > 0 or not positive)


def to_float(pixels: Tensor) -> Tensor:
    """Convert N x H x W x 3 uint8 to N x 3 x H x W float32 in [0, 1], a channels-last view of one copy."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)
