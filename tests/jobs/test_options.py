"""Options of image tasks: Python's values, the words of a command line, and Typer's values are the same options."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import pytest
import typer
from typer.testing import CliRunner

from attnimg.cli.option_groups import make_command
from attnimg.cli.options import PrintOptions
from attnimg.models.registry import TASKS
from attnimg.options.option import Leaf, build_options, leaves, to_arguments

BASE: dict[str, dict[str, Any]] = {"classify": {}, "enhance": {"output": "out"}, "segment": {"output": "out"}}
VALUES: dict[str, Any] = {
    "inputs": ["--odd", "a b", "-", "é"],
    "suffix": "-2",
    "background": "#ff8000",
    "tile": "128",
    "resize": "none",
}
"""Of options that do not take any value of their type."""

NEEDS: dict[str, dict[str, Any]] = {
    "nul": {"from_file": "-"},
    "timeout": {"isolate": True},
    "resume": {"report": "r.jsonl"},
    "copy": {"sort_into": "d"},
    "symlink": {"sort_into": "d"},
    "hardlink": {"sort_into": "d"},
    "overlay": {"output": "out"},
    "background": {"cutout": "sky"},
}
"""Options that an option cannot do without."""


def choose_value(leaf: Leaf) -> Any:
    """Return a value that is not the default."""
    option = leaf.option
    kind = get_args(leaf.hint)[0] if get_origin(leaf.hint) in (Union, UnionType) else leaf.hint
    if get_origin(kind) is Literal:
        return next(choice for choice in reversed(get_args(kind)) if choice != leaf.field.default)
    if kind is bool:
        return not leaf.field.default
    if kind is int:
        return int(option.minimum or 0) + 7
    if kind is float:
        return (option.minimum or 0) + 0.1
    if get_origin(kind) is list:
        return ["x y", "-z", "*.png"]
    return Path("a dir/-b.ext") if kind is Path else "-x=y z"


def each_option() -> Iterator[Any]:
    for task in BASE:
        for name in leaves(TASKS[task].options.load()):
            yield pytest.param(task, name, id=f"{task}-{name}")


@cache
def command(task: str) -> tuple[typer.Typer, list[Any]]:
    """Return the task's command, and the list that takes its options instead of a run."""
    taken: list[Any] = []
    app = typer.Typer()
    app.command()(make_command(lambda *groups: taken.append(groups), TASKS[task].options.load(), PrintOptions, help=""))
    return app, taken


def parse(task: str, arguments: list[str]) -> Any:
    """Return the options and the print options that the command makes of words."""
    app, taken = command(task)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return taken.pop()


def test_all_tasks_are_tested() -> None:
    assert BASE.keys() == TASKS.keys()


@pytest.mark.parametrize(("task", "name"), list(each_option()))
def test_options_become_words_and_come_back(task: str, name: str) -> None:
    kind = TASKS[task].options.load()
    leaf = leaves(kind)[name]
    value = VALUES[name] if name in VALUES else choose_value(leaf)
    needs = {"overlay": True} if (task, name) == ("classify", "output") else NEEDS.get(name, {})
    values = {"inputs": ["x.jpg"], **BASE[task], **needs, name: value}
    options = build_options(kind, **values)
    assert len(to_arguments(options)) > len(to_arguments(options, without={name}))
    assert parse(task, to_arguments(options)) == (options, PrintOptions())


@pytest.mark.parametrize("name", list(leaves(PrintOptions)))
def test_options_of_printing_come_back_too(name: str) -> None:
    options = build_options(TASKS["classify"].options.load(), inputs=["x.jpg"])
    printing = build_options(PrintOptions, **{name: choose_value(leaves(PrintOptions)[name])})
    assert parse("classify", to_arguments(options, printing)) == (options, printing)


def test_defaults_need_no_words() -> None:
    options = build_options(TASKS["classify"].options.load(), inputs=["a.jpg", "b.jpg"], topk=5, recursive=True)
    assert to_arguments(options, PrintOptions()) == ["--", "a.jpg", "b.jpg"]


def test_options_can_be_left_out() -> None:
    kind = TASKS["classify"].options.load()
    options = build_options(kind, inputs="x.jpg", report="r", resume=True, topk=2)
    assert to_arguments(options, without={"resume"}) == ["--report=r", "--topk=2", "--", "x.jpg"]
