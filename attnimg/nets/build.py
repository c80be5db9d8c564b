"""Nets from what weight files say of themselves, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn

from attnimg.nets.classifier import Classifier, ClassifierConfig
from attnimg.nets.configuration import build_config
from attnimg.nets.enhancer import Enhancer, EnhancerConfig
from attnimg.nets.segmenter import Segmenter, SegmenterConfig

Config = ClassifierConfig | EnhancerConfig | SegmenterConfig

NETS: dict[str, tuple[type[Config], type[nn.Module]]] = {
    "classifier": (ClassifierConfig, Classifier),
    "enhancer": (EnhancerConfig, Enhancer),
    "segmenter": (SegmenterConfig, Segmenter),
}
"""By the name in a header: what a net looks like, and the net."""


def describe(config: Config) -> dict[str, Any]:
    """Return a header's `architecture`."""
    name = next(name for name, (kind, _) in NETS.items() if isinstance(config, kind))
    return {"name": name, **dataclasses.asdict(config)}


def read_architecture(architecture: Mapping[str, Any]) -> Config:
    """Return the configuration in a header's `architecture`. ValueError: it is none that this version knows."""
    values = {key: value for key, value in architecture.items() if key != "name"}
    if architecture.get("name") not in NETS:
        raise ValueError(f"no net is called {architecture.get('name')!r}")
    config: Config = build_config(values, NETS[architecture["name"]][0])
    return config


def build_net(architecture: Mapping[str, Any]) -> nn.Module:
    """Return the net of a header's `architecture`, its weights not yet loaded. ValueError: as `read_architecture`."""
    config: Any = read_architecture(architecture)
    return NETS[architecture["name"]][1](config)
