"""Choice of the device and of the floating-point type for a net, and its preparation for inference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from attnimg.errors import Unavailable, UsageError
from attnimg.runtime import PRECISIONS

Net = TypeVar("Net", bound=nn.Module)

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device called auto, cpu, cuda, cuda:N or mps. Unavailable: this machine has no such device.

    auto takes CUDA, else Apple's MPS, else the CPU. A device that is requested by name is never replaced by another.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"There is no device {name!r}; use auto, cpu, cuda, cuda:N or mps.") from None
    if device.type not in {"cpu", "cuda", "mps"}:
        raise UsageError(f"attnimg does not run on {name!r}; use auto, cpu, cuda, cuda:N or mps.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Unavailable(
            "CUDA is not available here. Use --device cpu, or install a driver and a CUDA build of torch."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise Unavailable(
            f"There is no {name}. This machine has {torch.cuda.device_count()} CUDA device(s), numbered from cuda:0."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise Unavailable("MPS is not available here. Use --device cpu.")
    return device


def choose_precision(name: str, device: torch.device, *, training: bool = False) -> str:
    """Return fp32, bf16 or fp16 for the name of a precision.

    auto is bf16 on CUDA, else fp32. In training it is bf16 on devices with native bf16 multiplication, CPUs included;
    emulated bf16 is slower than fp32. UsageError: there is no such precision, or the device cannot train in it.
    """
    if name not in PRECISIONS:
        raise UsageError(f"There is no precision {name!r}; use one of {', '.join(PRECISIONS)}.")
    if training and name == "fp16" and device.type != "cuda":
        raise UsageError("fp16 trains on CUDA only; use --precision bf16 or fp32 here.")
    if name != "auto":
        return name
    if training:
        return "bf16" if _multiplies_bf16(device) else "fp32"
    return "bf16" if device.type == "cuda" else "fp32"


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older versions of torch
    return device.type == "cpu" and any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return the context in which a net runs at a precision. Its weights stay fp32."""
    return torch.autocast(device.type, precision, enabled=precision is not torch.float32)


# Messages of the CPU's allocator, oneDNN, CUDA and MPS, and CUDA's libraries.
_NO_MEMORY = ("allocate memory", "could not create a memory", "out of memory", "_ALLOC_FAILED")


@contextmanager
def torch_memory_errors() -> Iterator[None]:
    """Turn torch's out-of-memory errors into `MemoryError`."""
    try:
        yield
    except RuntimeError as error:  # OutOfMemoryError is one; others raise it plain
        if isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _NO_MEMORY):
            raise MemoryError(str(error)) from error
        raise


def place_net(net: Net, device: str, precision: str) -> tuple[Net, torch.device, torch.dtype]:
    """Return a net prepared for inference, its device, and its floating-point type. Raises as the functions above."""
    chosen = choose_device(device)
    dtype = _DTYPES[choose_precision(precision, chosen)]
    return prepare_net(net, chosen), chosen, dtype


def prepare_net(net: Net, device: torch.device) -> Net:
    """Return a copy of a net for inference: batch norms folded into convolutions, channels-last, on the device.

    Unavailable: the device cannot hold it.
    """
    net = deepcopy(net).eval().requires_grad_(False)
    for module in list(net.modules()):
        if isinstance(module, nn.Sequential):
            match list(module):
                case [nn.Conv2d() as convolution, nn.BatchNorm2d() as norm]:
                    module[0], module[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    try:
        net = net.to(device)
    except RuntimeError as error:  # its memory is full, or its driver does not fit
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(
            f"The model cannot be put on {device} ({reason}). Free memory there, or use --device cpu."
        ) from error
    return convert_conv2d_weight_memory_format(net, torch.channels_last)
