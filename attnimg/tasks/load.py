"""Predictors from weight files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from attnimg import checkpoints
from attnimg.attention import mechanisms
from attnimg.errors import Unavailable
from attnimg.images.masks import VOID
from attnimg.nets.build import build_net, read_architecture

Predictor = TypeVar("Predictor")

NETS = {"classify": "classifier", "segment": "segmenter", "enhance": "enhancer"}
MOST_SIZE = 4096  # pixels along a side of what a net sees at once


def load(model: str, task: str, build: Callable[..., Predictor]) -> Predictor:
    """Read a model's net and give it to `build(net, header, model=name)`.

    model: a shipped model's name, or a weight file's path. Unavailable: there is none such, it is for another task, or
    does not fit this version.
    """
    path = checkpoints.find(model)
    header = checkpoints.read_header(path)
    if header["task"] != task:
        raise Unavailable(f"{model} is a model for {header['task'][:40]}, not for {task}; `attnimg models` lists all.")
    try:
        check_header(header)
        net = _build_net(path, header)
        return build(net, header, model=path.stem)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(f"{path} does not fit this version of attnimg ({reason}); train it again.") from error


def _build_net(path: Path, header: Mapping[str, Any]) -> nn.Module:
    """Return the net with its weights. What a header claims takes no memory until the file is seen to hold it."""
    with torch.device("meta"):
        net = build_net(header["architecture"])
    if header["attention"] not in mechanisms(net):
        raise ValueError(f"it has no attention called {header['attention']!r}")
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


def check_header(header: Mapping[str, Any]) -> None:
    """Raise ValueError where a header holds values that would fail, or mislead, only when an image is seen.

    What it lacks is not looked for; its predictor will miss that.
    """
    preprocessing = header.get("preprocessing", {})
    if not isinstance(preprocessing, dict):
        raise ValueError("preprocessing is no object")  # noqa: TRY004 - of the file, not of the call
    size = preprocessing.get("size", 1)
    if type(size) is not int or not 1 <= size <= MOST_SIZE:
        raise ValueError(f"size must be 1 to {MOST_SIZE}, not {size!r}")
    for name, positive in (("mean", False), ("std", True)):
        values = preprocessing.get(name, [1.0] * 3)
        if not isinstance(values, list) or len(values) != 3 or not all(_is_number(v, positive) for v in values):
            raise ValueError(f"{name} must be three numbers, not {values!r}")
    if not _is_number(header.get("temperature", 1.0), positive=True):
        raise ValueError(f"temperature must be a positive number, not {header['temperature']!r}")
    if not isinstance(header.get("attention", ""), str):
        raise ValueError("attention must be a mechanism's name")  # noqa: TRY004
    if NETS.get(header["task"]) != header["architecture"].get("name"):
        raise ValueError(f"{header['architecture'].get('name')!r} is no net for {header['task']}")
    count: int | None = getattr(read_architecture(header["architecture"]), "classes", None)
    classes = header["classes"] if count else []
    if count and len(classes) != count:
        raise ValueError(f"{len(classes)} classes are named, of {count}")
    if header["task"] == "segment" and not all(_is_mask_class(entry, i) for i, entry in enumerate(classes)):
        raise ValueError("classes must have ids from 0 in order, to 254 at most, and colors of three bytes")


def _is_number(value: Any, positive: bool) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and (value > 0 or not positive)


def _is_mask_class(entry: Mapping[str, Any], index: int) -> bool:
    match entry:
        case {"id": int(number), "color": [int(red), int(green), int(blue)]}:
            return number == index < VOID and all(0 <= value <= 255 for value in (red, green, blue))
    return False
