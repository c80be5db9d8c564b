"""The floating type that a run computes in."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.plugins import MixedPrecision, Precision

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
