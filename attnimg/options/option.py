"""One option of a command, described without a terminal: Python takes it by name, the command line by flag."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from attnimg.errors import UsageError

Options = TypeVar("Options")

_NUMBERS: dict[Any, type[Any]] = {int: Integral, float: Real}  # NumPy's are numbers, too


@dataclass(frozen=True, kw_only=True)
class Option:
    """The metadata of a dataclass field, as `Annotated[type, Option(...)]`.

    help: one sentence. flags: spellings on the command line; default: the field's name. metavar: placeholder of the
    value. minimum, maximum: bounds of a number. panel: heading in `--help`. positional: whether it is an argument.
    """

    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    panel: str | None = None
    positional: bool = False


@dataclass(frozen=True)
class Leaf:
    """A field of a group of options. hint: its type, without the metadata."""

    field: Field[Any]
    option: Option
    hint: Any

    @property
    def flags(self) -> tuple[str, ...]:
        """The spellings on the command line, the long one first."""
        return self.option.flags or (f"--{self.field.name.replace('_', '-')}",)


def leaves(kind: type[Any]) -> dict[str, Leaf]:
    """Return the options of a dataclass and of those that it is made of, by name."""
    found: dict[str, Leaf] = {}
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint = hints[field.name]
        if is_dataclass(hint) and isinstance(hint, type):
            found |= leaves(hint)
        else:
            plain, option = get_args(hint)[:2]
            found[field.name] = Leaf(field, option, plain)
    return found


def build_options(kind: type[Options], **values: Any) -> Options:
    """Build a dataclass of options, and those that it is made of, from values by name.

    Paths may be strings, and lists any iterables. UsageError: a value is not allowed. TypeError: a name is unknown.
    """
    known = leaves(kind)
    if unknown := values.keys() - known.keys():
        raise TypeError(f"there is no option {min(unknown)!r}; there are {', '.join(known)}")
    built: Options = _build(kind, {name: _check(known[name], value) for name, value in values.items()})
    return built


def _build(kind: Any, values: dict[str, Any]) -> Any:
    hints = get_type_hints(kind)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    own = {field.name for field in fields(kind)}
    parts = {name: _build(group, values) for name, group in groups.items() if name in own}
    return kind(**parts, **{name: value for name, value in values.items() if name in own - groups.keys()})


def _check(leaf: Leaf, value: Any) -> Any:
    """Return the value in its option's type. UsageError: it has another type, or is out of bounds."""
    name, option = leaf.field.name, leaf.option
    kind, *nothing = _parts(leaf.hint)
    if value is None and nothing:
        return None
    if value is None:
        raise UsageError(f"{name} is None; leave it out for its default.")
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise UsageError(f"{name} is {value!r}; give one of {', '.join(get_args(kind))}.")
    if kind in _NUMBERS:
        low, high = option.minimum, option.maximum
        is_above = isinstance(value, _NUMBERS[kind]) and (low is None or value >= low)
        if not is_above or (high is not None and not value <= high):
            bounds = "" if low is None else f", at least {low:g}" if high is None else f", from {low:g} to {high:g}"
            raise UsageError(f"{name} is {value!r}; give a {'whole ' if kind is int else ''}number{bounds}.")
    if kind is bool and not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}; give True or False.")
    if kind is Path:
        return Path(value)
    if kind is str:
        return str(value)
    if get_origin(kind) is list:
        return [str(item) for item in ([value] if isinstance(value, str | Path) else value)]
    return value


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def to_arguments(*groups: Any, without: Container[str] = ()) -> list[str]:
    """Return options as words of a command line that gives the same, those with their default left out.

    without: names of options to leave out.
    """
    options: list[str] = []
    positional: list[str] = []
    for group in groups:
        values = _values(group)
        for name, leaf in leaves(type(group)).items():
            value, default = values[name], leaf.field.default
            if name in without or value == (None if default is MISSING else default):
                continue
            if leaf.option.positional:
                positional += value
            elif isinstance(value, bool):
                options.append(leaf.flags[0] if value else leaf.flags[0].replace("--", "--no-", 1))
            else:
                options += [f"{leaf.flags[0]}={item}" for item in (value if isinstance(value, list) else [value])]
    return [*options, *(["--", *positional] if positional else [])]


def _values(group: Any) -> dict[str, Any]:
    """Return the values of a group and of those that it is made of, by name."""
    found: dict[str, Any] = {}
    for field in fields(group):
        value = getattr(group, field.name)
        found |= _values(value) if is_dataclass(value) else {field.name: value}
    return found
