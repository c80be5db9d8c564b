"""One option of a command, described without a terminal: Python takes it by name, the command line by flag."""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from attnimg.errors import UsageError

Options = TypeVar("Options")


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
    return _build(kind, {name: _check(known[name], value) for name, value in values.items()})


def _build(kind: type[Options], values: dict[str, Any]) -> Options:
    hints = get_type_hints(kind)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    own = {field.name for field in fields(kind)}
    parts = {name: _build(group, values) for name, group in groups.items() if name in own}
    return kind(**parts, **{name: value for name, value in values.items() if name in own - groups.keys()})


def _check(leaf: Leaf, value: Any) -> Any:
    name, option, hint = leaf.field.name, leaf.option, leaf.hint
    if value is None:
        return None
    choices = [choice for part in _parts(hint) if get_origin(part) is Literal for choice in get_args(part)]
    if choices and value not in choices:
        raise UsageError(f"{name} is {value!r}; give one of {', '.join(map(str, choices))}.")
    low, high = option.minimum, option.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
        raise UsageError(f"{name} is {value}; give a number that is {bounds}.")
    if Path in _parts(hint):
        return Path(value)
    if any(get_origin(part) is list for part in _parts(hint)):
        return [str(item) for item in ([value] if isinstance(value, str | Path) else value)]
    return value


def _parts(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def to_arguments(*groups: Any) -> list[str]:
    """Return options as words of a command line that gives the same, those with their default left out."""
    options: list[str] = []
    positional: list[str] = []
    for group in groups:
        for name, leaf in leaves(type(group)).items():
            value, default = _find(group, name), leaf.field.default
            if value == (None if default is MISSING else default):
                continue
            if leaf.option.positional:
                positional += value
            elif isinstance(value, bool):
                options.append(leaf.flags[0] if value else leaf.flags[0].replace("--", "--no-", 1))
            else:
                options += [f"{leaf.flags[0]}={item}" for item in (value if isinstance(value, list) else [value])]
    return [*options, *(["--", *positional] if positional else [])]


def _find(group: Any, name: str) -> Any:
    """Return the value of an option, in whichever of the nested groups it is."""
    for field in fields(group):
        value = getattr(group, field.name)
        if is_dataclass(value) and name in leaves(type(value)):
            return _find(value, name)
        if field.name == name and not is_dataclass(value):
            return value
    raise KeyError(name)
