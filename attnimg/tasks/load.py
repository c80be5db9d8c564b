"""Predictors from weight files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from attnimg import checkpoints
from attnimg.errors import Unavailable
from attnimg.nets.build import build_net

Predictor = TypeVar("Predictor")


def load(model: str, task: str, build: Callable[..., Predictor]) -> Predictor:
    """Read a model's net and give it to `build(net, header, model=name)`.

    model: a shipped model's name, or a weight file's path. Unavailable: there is none such, it is for another task, or
    does not fit this version.
    """
    path = checkpoints.find(model)
    header, tensors = checkpoints.read(path)
    if header["task"] != task:
        raise Unavailable(f"{model} is a model for {header['task']}, not for {task}; `attnimg models` lists all.")
    try:
        net = build_net(header["architecture"])
        net.load_state_dict(tensors)
        return build(net, header, model=path.stem)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(f"{path} does not fit this version of attnimg ({reason}); train it again.") from error
