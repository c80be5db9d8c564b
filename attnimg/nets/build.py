"""Nets from what weight files say of themselves, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from attnimg.nets.classifier import ClassifierConfig
from attnimg.nets.configuration import build_config


def describe(config: ClassifierConfig) -> dict[str, Any]:
    """Return a header's `architecture` for a classifier."""
    return {"name": "classifier", **dataclasses.asdict(config)}


def read_architecture(architecture: Mapping[str, Any]) -> ClassifierConfig:
    """Return the configuration in a header's `architecture`. ValueError: it is none that this version knows."""
    values = {key: value for key, value in architecture.items() if key != "name"}
    if architecture.get("name") != "classifier":
        raise ValueError(f"no net is called {architecture.get('name')!r}")
    config: ClassifierConfig = build_config(values, ClassifierConfig)
    return config
