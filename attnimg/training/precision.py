"""The floating type that a run computes in."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.plugins import MixedPrecision, Precision

from attnimg.errors import UsageError

FABRIC_PRECISIONS: dict[str, Any] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}


class Mixed(MixedPrecision):
    """Lightning's mixed precision, but that a net's inputs stay as they are.

    Autocast rounds what is multiplied; rounding pixels before that, and where they lie in their photo, would lose more.
    """

    def convert_input(self, data: Any) -> Any:
        """Return data itself."""
        return data


def build_precision(name: str, device: torch.device) -> Precision:
    """Return Fabric's plugin for fp32, bf16 or fp16."""
    return Precision() if name == "fp32" else Mixed(FABRIC_PRECISIONS[name], device.type)


def choose_precision(name: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16. auto is bf16 where the device multiplies it natively, else fp32.

    Emulated bf16 is slower than fp32, so CPUs without instructions for it train in fp32.
    """
    if name == "fp16" and device.type != "cuda":
        raise UsageError("fp16 trains on CUDA only; use --precision bf16 or fp32 here.")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and _multiplies_bf16() else "fp32"


def _multiplies_bf16() -> bool:
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
