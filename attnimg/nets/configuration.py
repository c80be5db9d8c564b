"""Conversion of plain values, as in headers and recipes, to configuration dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args, get_origin, get_type_hints


def build_config(values: dict[str, Any], kind: Any) -> Any:
    """Build a dataclass, with nested ones, from plain values; lists become tuples.

    ValueError: a key is unknown, or a value has the wrong type.
    """
    hints = get_type_hints(kind)
    if unknown := values.keys() - hints.keys():
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{key: _convert(value, hints[key], key) for key, value in values.items()})


def _convert(value: Any, hint: Any, key: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return build_config(value, hint)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_convert(v, get_args(hint)[0], key) for v in value)
    if hint is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{key} must be {hint.__name__}, not {value!r}")
    return value


def walk_config(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of all fields of a configuration, with those of nested ones and each item of tuples."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from walk_config(value)
        else:
            yield from ((field.name, v) for v in (value if isinstance(value, tuple) else (value,)))
