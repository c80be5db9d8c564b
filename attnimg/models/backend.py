"""What runs a net: arrays in, arrays and an attention map out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attnimg.attention import Recorder
from attnimg.models.device import autocast, place_net, torch_memory_errors
from attnimg.models.preprocessing import Preprocessing


class Result(NamedTuple):
    """The output of a net.

    values: logits, N x ..., float32. map: N x h x w float32 in [0, 1], 0.5 for uniform attention; None if not asked for.
    """

    values: NDArray[np.float32]
    map: NDArray[np.float32] | None


class Backend(Protocol):
    """Runs one net from bytes to logits. device: where it runs, as `torch.device` spells it."""

    @property
    def device(self) -> str:
        """As above."""
        ...

    def __call__(self, pixels: NDArray[np.uint8], *, attention: bool = False) -> Result:
        """Predict N x H x W x 3 pixels. attention: whether to return the map. MemoryError: of the device."""
        ...


class TorchBackend:
    """Runs a torch net.

    net, header: as of a `sources.Model`. device, precision: see `device`.
    """

    def __init__(
        self, net: nn.Module, header: Mapping[str, Any], preprocessing: Preprocessing, *, device: str, precision: str
    ) -> None:
        self._attention: str | None = header.get("attention")
        self._preprocessing = preprocessing
        self._net, self._device, self._dtype = place_net(net, device, precision)

    @property
    def device(self) -> str:
        """As of `Backend`."""
        return str(self._device)

    @torch_memory_errors()
    def __call__(self, pixels: NDArray[np.uint8], *, attention: bool = False) -> Result:
        """As of `Backend`. The model must have attention for that."""
        recorder = Recorder(self._net, {self._attention} if attention and self._attention else set())
        x = torch.from_numpy(pixels).to(self._device, non_blocking=True)
        with torch.inference_mode(), autocast(self._device, self._dtype), recorder:
            values = self._net(self._preprocessing(x)).float().cpu().numpy()
        map_ = recorder.maps[self._attention].cpu().numpy() if attention and self._attention else None
        return Result(values, map_)
