"""Recipes as TOML files: shipped ones are read by name, others by path, and a run writes its own."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from attnimg.errors import UsageError
from attnimg.nets.configuration import build_config
from attnimg.training.recipe.common import Recipe

RECIPES = Path(__file__).parents[1] / "recipes"

Kind = TypeVar("Kind", bound=Recipe)


def load_recipe(name_or_path: str, kind: type[Kind], **overrides: Any) -> Kind:
    """Read a shipped recipe by name or a TOML file by path. overrides: new top-level values; None changes nothing.

    UsageError: there is no such recipe, or a value is wrong.
    """
    shipped = RECIPES / kind.task
    path = shipped / f"{name_or_path}.toml"
    path = path if path.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.toml")))
        raise UsageError(f"There is no recipe {name_or_path!r}. Name a TOML file or one of: {names}.")
    try:
        values = tomllib.loads(path.read_text())
        recipe: Kind = build_config({"name": path.stem, **values}, kind)
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a valid recipe: {error}.") from error
    changes = {k: v for k, v in overrides.items() if v is not None}
    if "size" in changes:  # crops grow to that size, and never shrink
        changes = {"start_size": min(recipe.start_size, changes["size"]), **changes}
    try:
        return dataclasses.replace(recipe, **changes)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path} cannot be changed so: {error}. Give another value.") from error


def dump_toml(recipe: Any, section: str = "") -> str:
    """Return a dataclass as TOML, with its nested dataclasses as tables."""
    values = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}
    plain = {k: v for k, v in values.items() if not dataclasses.is_dataclass(v)}
    lines = [f"[{section}]"] if section else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    tables = [dump_toml(values[k], f"{section}.{k}".lstrip(".")) for k in values.keys() - plain.keys()]
    return "\n".join([*lines, ""]) + "".join(f"\n{table}" for table in sorted(tables))
