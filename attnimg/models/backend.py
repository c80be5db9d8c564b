"""Backends run a net: arrays in, arrays and an attention map out."""

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

    values: logits, N x ..., float32. map: attention, N x h x w float32 in [0, 1], 0.5 for uniform attention; None if
    not requested, or if the model has none.
    """

    values: NDArray[np.float32]
    map: NDArray[np.float32] | None


class Backend(Protocol):
    """Runs one net from bytes to logits. device: the device it runs on, in torch's notation."""

    @property
    def device(self) -> str:
        """As above."""
        ...

    def __call__(self, pixels: NDArray[np.uint8], *, attention: bool = False) -> Result:
        """Predict N x H x W x 3 pixels. attention: whether to return the map. MemoryError: the device ran out."""
        ...


class TorchBackend:
    """Runs a torch net.

    net, header: of a `sources.Model`. device, precision: see `models.device`.
    """

    def __init__(
        self, net: nn.Module, header: Mapping[str, Any], preprocessing: Preprocessing, *, device: str, precision: str
    ) -> None:
        self._attention: str | None = header.get("attention")
        self._preprocessing = preprocessing
        self._net, self._device, self._dtype = place_net(net, device, precision)

    @property
    def device(self) -> str:
        """See `Backend`."""
        return str(self._device)

    @torch_memory_errors()
    def __call__(self, pixels: NDArray[np.uint8], *, attention: bool = False) -> Result:
        """See `Backend`."""
        name = self._attention if attention else None
        recorder = Recorder(self._net, {name} if name else set())
        x = torch.from_numpy(pixels).to(self._device, non_blocking=True)
        with torch.inference_mode(), autocast(self._device, self._dtype), recorder:
            values = self._net(self._preprocessing(x)).float().cpu().numpy()
        return Result(values, recorder.maps[name].cpu().numpy() if name else None)
