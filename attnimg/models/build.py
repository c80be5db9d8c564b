"""Conversion between nets and the `architecture` in a header."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attnimg.models import checkpoints
from attnimg.models.registry import TASKS, find_task
from attnimg.nets.configuration import build_config, walk_config

MOST = {"depths": 100, "exposure_blocks": 100}  # each block takes time to build, even where it takes no memory
MOST_CHANNELS = 1 << 20
MOST_STAGES = 16


def find_net(name: object) -> Any:
    """Return the net's class by its name in headers. ValueError: there is none."""
    for task in TASKS.values():
        if isinstance(name, str) and name in task.nets:
            return task.nets[name].load()
    raise ValueError(f"no net is called {name!r}")


def describe(config: Any) -> dict[str, Any]:
    """Return the `architecture` for a header. ValueError: the configuration belongs to no known net."""
    for task in TASKS.values():
        for name, net in task.nets.items():
            if isinstance(config, net.load().Config):
                return {"name": name, **dataclasses.asdict(config)}
    raise ValueError(f"{type(config).__name__} is the configuration of no net")


def read_architecture(architecture: Mapping[str, Any]) -> Any:
    """Return the configuration in a header's `architecture`. ValueError: this version cannot build it."""
    values = {key: value for key, value in architecture.items() if key != "name"}
    config = build_config(values, find_net(architecture.get("name")).Config)
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
    """Return the net of a header's `architecture`, with initial weights. ValueError: as for `read_architecture`.

    Under `torch.device("meta")` it takes no memory, however large it is.
    """
    net: nn.Module = find_net(architecture.get("name"))(read_architecture(architecture))
    return net


def check_architecture(header: Mapping[str, Any]) -> None:
    """Raise ValueError if a header's architecture is not for its task, or its classes are not as many as the logits."""
    config, name = read_architecture(header["architecture"]), header["architecture"]["name"]
    if name not in find_task(header["task"]).nets:
        raise ValueError(f"{name!r} is no net for {header['task']}")
    count: int | None = getattr(config, "classes", None)
    if count and len(header["classes"]) != count:
        raise ValueError(f"it names {len(header['classes'])} classes, but its net has {count}")


def load_net(path: Path, header: Mapping[str, Any]) -> nn.Module:
    """Return the net of a weight file with its weights, on the CPU.

    Memory is allocated only after the shapes in the file were found to match the header. ValueError: they do not.
    Unavailable: the file is damaged.
    """
    check_architecture(header)
    with torch.device("meta"):
        net = build_net(header["architecture"])
    wanted, shapes = net.state_dict(), checkpoints.read_shapes(path)
    for name in sorted(wanted.keys() | shapes.keys()):
        claimed = tuple(wanted[name].shape) if name in wanted else "nothing"
        if claimed != shapes.get(name, "nothing"):
            raise ValueError(f"{name} is {shapes.get(name, 'nothing')}, and should be {claimed}")
    _, tensors = checkpoints.read(path)
    for name, tensor in tensors.items():
        if tensor.dtype != wanted[name].dtype:
            raise ValueError(f"{name} holds {tensor.dtype}, and should hold {wanted[name].dtype}")
    net.load_state_dict(tensors, assign=True)
    return net
