"""Predictors from models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attnimg.attention import mechanisms
from attnimg.errors import Unavailable, UsageError
from attnimg.models.build import read_architecture
from attnimg.models.registry import find_task
from attnimg.models.sources import find_model


def load(task: str, model: str | None = None, **options: Any) -> Any:
    """Build the predictor of a task: `predictor(net, header, model=name, **options)`.

    model: of `sources.find_model`; default: the task's. Raises Unavailable: there is none, it is for another task, or
    does not fit this version.
    """
    entry = find_task(task)
    if entry.predictor is None:
        raise UsageError(f"The task {task} has no predictor.")
    found = find_model(model or entry.model)
    header = found.header
    if header["task"] != task:
        raise Unavailable(f"{model} is a model for {header['task'][:40]}, not for {task}; `attnimg models` lists all.")
    try:
        check_header(header)
        net = found.build_net()
        if header.get("attention") and header["attention"] not in mechanisms(net):
            raise ValueError(f"it has no attention called {header['attention']!r}")  # noqa: TRY301
        return entry.predictor.load()(net, header, model=found.name, **options)
    except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(f"{model} does not fit this version of attnimg ({reason}). Train it again.") from error


def check_header(header: Mapping[str, Any]) -> None:
    """Raise ValueError if a header holds values that would fail, or mislead, only when an image is predicted.

    Missing values are found by the predictor.
    """
    temperature = header.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not math.isfinite(temperature) or temperature <= 0:
        raise ValueError(f"temperature must be a positive number, not {temperature!r}")
    if not isinstance(header.get("attention", ""), str | None):
        raise ValueError("attention must be the name of a mechanism")  # noqa: TRY004 - the file's error, not the call's
    name = header["architecture"].get("name")
    if name not in find_task(header["task"]).nets:
        raise ValueError(f"{name!r} is no net for {header['task']}")
    count: int | None = getattr(read_architecture(header["architecture"]), "classes", None)
    classes = header["classes"] if count else []
    if count and len(classes) != count:
        raise ValueError(f"{len(classes)} classes are named, of {count}")
