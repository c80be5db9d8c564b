"""Where and how precisely a net runs."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from attnimg.errors import Unavailable, UsageError

Net = TypeVar("Net", bound=nn.Module)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the device called auto, cpu, cuda, cuda:N or mps; `Unavailable` if this machine has none such.

    auto takes CUDA, else Apple's MPS, else the CPU. A device that was asked for by name is never replaced by another.
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
            f"{name} is not there; this machine has {torch.cuda.device_count()} CUDA device(s), from cuda:0."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise Unavailable("MPS is not available here. Use --device cpu.")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the floating type of a precision; auto is bf16 on CUDA and fp32 elsewhere."""
    if name == "auto":
        name = "bf16" if device.type == "cuda" else "fp32"
    if name not in PRECISIONS:
        raise UsageError(f"There is no precision {name!r}; use auto, {', '.join(PRECISIONS)}.")
    return PRECISIONS[name]


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return the context in which a net runs at a precision; its weights stay fp32."""
    return torch.autocast(device.type, precision, enabled=precision is not torch.float32)


# In the words of the CPU's allocator, oneDNN, CUDA and MPS, and CUDA's libraries.
_NO_MEMORY = ("allocate memory", "could not create a memory", "out of memory", "_ALLOC_FAILED")


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn a device's way of saying that its memory does not suffice into `MemoryError`."""
    try:
        yield
    except RuntimeError as error:  # OutOfMemoryError is one; others raise it plain
        if isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _NO_MEMORY):
            raise MemoryError(str(error)) from error
        raise


def keep_memory() -> None:
    """Have glibc keep, for the next feature maps, what the last ones took, up to 256 MiB.

    By default it gives blocks of their size back to the system at once, and getting them again, page by page, takes a
    third of the time of a forward pass. Blocks over 16 MiB, such as large photos, go back as ever. All threads take
    from one arena: with one for each, which is the default, memory grows for thousands of images.
    """
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 16 << 20)
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        mallopt(_M_ARENA_MAX, 1)


def place_net(net: Net, device: str, precision: str) -> tuple[Net, torch.device, torch.dtype]:
    """Return a net as `prepare_net` makes it, its device and the floating type it runs in, by their names."""
    chosen = choose_device(device)
    dtype = choose_precision(precision, chosen)
    return prepare_net(net, chosen), chosen, dtype


def prepare_net(net: Net, device: torch.device) -> Net:
    """Return a copy for inference: batch norms folded into their convolutions, channels-last, on the device.

    For the CPU the process's memory is set up as well, by `keep_memory`. Unavailable: the device does not take it.
    """
    if device.type == "cpu":
        keep_memory()
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
            f"The model cannot be put on {device} ({reason}). Make room there, or use --device cpu."
        ) from error
    return convert_conv2d_weight_memory_format(net, torch.channels_last)
