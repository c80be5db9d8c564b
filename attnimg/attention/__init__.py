"""Attention mechanisms, one per file, behind one registry.

A mechanism keeps the shape of its N x C x H x W input and has an attention map (`recorder.Mechanism`). A new mechanism
needs a file, an import and a line below.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from attnimg.attention.cbam import CBAM
from attnimg.attention.coordinate import CoordinateAttention
from attnimg.attention.cosine import CosineAttention
from attnimg.attention.eca import ECA
from attnimg.attention.euclidean import EuclideanAttention
from attnimg.attention.gate import AttentionGate
from attnimg.attention.linear import LinearAttention
from attnimg.attention.neighborhood import NeighborhoodAttention
from attnimg.attention.recorder import Mechanism, Recorder, mechanisms
from attnimg.attention.region import RegionAttention
from attnimg.attention.self_attention import SelfAttention
from attnimg.attention.spatial import SpatialAttention
from attnimg.attention.squeeze_excitation import SqueezeExcitation

MECHANISMS: dict[str, type[nn.Module]] = {
    "cbam": CBAM,
    "coordinate": CoordinateAttention,
    "cosine": CosineAttention,
    "eca": ECA,
    "euclidean": EuclideanAttention,
    "gate": AttentionGate,
    "linear": LinearAttention,
    "neighborhood": NeighborhoodAttention,
    "region": RegionAttention,
    "se": SqueezeExcitation,
    "self": SelfAttention,
    "spatial": SpatialAttention,
}

__all__ = ["MECHANISMS", "Mechanism", "Recorder", "build", "mechanisms"]


def build(name: str, channels: int, **options: Any) -> nn.Module:
    """Build the mechanism called `name` for inputs of `channels` channels. options: arguments of its class.

    "none" is the identity, for ablations. ValueError: the name is not registered.
    """
    if name == "none":
        return nn.Identity()
    if name not in MECHANISMS:
        raise ValueError(f"no attention called {name!r}; there are {', '.join(MECHANISMS)} and none")
    return MECHANISMS[name](channels, **options)
