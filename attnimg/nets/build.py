"""Nets from what weight files say of themselves, and back."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import nn

from attnimg.nets.classifier import Classifier, ClassifierConfig
from attnimg.nets.configuration import build_config, walk_config
from attnimg.nets.enhancer import Enhancer, EnhancerConfig
from attnimg.nets.segmenter import Segmenter, SegmenterConfig

MOST = {"depths": 100, "looks": 100}  # blocks; each is made, and takes a while, even where it takes no memory
MOST_CHANNELS = 1 << 20
MOST_STAGES = 16

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
    """Return the configuration in a header's `architecture`. ValueError: this version knows none such."""
    values = {key: value for key, value in architecture.items() if key != "name"}
    name = architecture.get("name")
    if not isinstance(name, str) or name not in NETS:
        raise ValueError(f"no net is called {name!r}")
    config: Config = build_config(values, NETS[name][0])
    counts = Counter(field for field, _ in walk_config(config))
    for field, value in walk_config(config):
        if counts[field] > MOST_STAGES:
            raise ValueError(f"{field} has {counts[field]} values, more than {MOST_STAGES}")
        most = MOST.get(field, MOST_CHANNELS)
        if isinstance(value, int) and not 1 <= value <= most:
            raise ValueError(f"{field} must be 1 to {most}, not {value}")
        if isinstance(value, float) and not 0 <= value < 1:
            raise ValueError(f"{field} must be 0 or more and less than 1, not {value}")
    return config


def build_net(architecture: Mapping[str, Any]) -> nn.Module:
    """Return the net of a header's `architecture`, its weights not yet loaded. ValueError: as `read_architecture`.

    Under `torch.device("meta")` it takes no memory, however large it is.
    """
    config: Any = read_architecture(architecture)
    return NETS[architecture["name"]][1](config)
