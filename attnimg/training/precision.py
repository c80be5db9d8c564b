"""Floating-point types of training, as plugins of Lightning Fabric."""

from __future__ import annotations

from typing import Any

import torch
from lightning.fabric.plugins import MixedPrecision, Precision

FABRIC_PRECISIONS: dict[str, Any] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}


class Mixed(MixedPrecision):
    """Lightning's mixed precision, without rounding a net's inputs.

    Autocast rounds the operands of products. Rounding pixels and their positions before that would lose more.
    """

    def convert_input(self, data: Any) -> Any:
        """Return the data unchanged."""
        return data


def build_precision(name: str, device: torch.device) -> Precision:
    """Return Fabric's plugin for fp32, bf16 or fp16."""
    return Precision() if name == "fp32" else Mixed(FABRIC_PRECISIONS[name], device.type)
