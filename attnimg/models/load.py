"""Loading of predictors: find a model, check it, build its net and its predictor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attnimg.attention import mechanisms
from attnimg.errors import Unavailable, UsageError
from attnimg.models.registry import find_task
from attnimg.models.sources import find_model


def load(task: str, model: str | None = None, **options: Any) -> Any:
    """Build the predictor of a task: `predictor(net, header, model=name, **options)`.

    model: name for `sources.find_model`; None: the task's default model. Raises Unavailable: there is no such model, it
    is for another task, or it does not fit this version.
    """
    entry = find_task(task)
    if entry.predictor is None:
        raise UsageError(f"The task {task} has no predictor.")
    name = model or entry.model
    found = find_model(name)
    header = found.header
    if header["task"] != task:
        raise Unavailable(f"{name} is a model for {header['task'][:40]}, not for {task}; `attnimg models` lists all.")
    try:
        check_header(header)
        net = found.build_net()
        if header.get("attention") and header["attention"] not in mechanisms(net):
            raise ValueError(f"its net has no attention called {header['attention']!r}")  # noqa: TRY301
        return entry.predictor.load()(net, header, model=found.name, **options)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(f"{name} does not fit this version of attnimg ({reason}). Train it again.") from error


def check_header(header: Mapping[str, Any]) -> None:
    """Raise ValueError if a header holds values that would fail, or mislead, only when an image is predicted.

    Missing values are found by the predictor; the architecture is checked by `WeightFile.build_net`.
    """
    temperature = header.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not math.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature must be a positive number, not {temperature!r}")
    attention = header.get("attention")
    if attention is not None and (not isinstance(attention, str) or not attention):
        raise ValueError(f"attention must be the name of a mechanism, not {attention!r}")
