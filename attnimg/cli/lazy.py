"""A group of commands that are imported when they are named: `--help` needs only their summaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


@dataclass(frozen=True)
class Entry:
    """A command. summary: the first sentence of its help. build: imports it and returns it as a program of its own."""

    summary: str
    build: Callable[[], typer.Typer]


def make_group(entries: Mapping[str, Entry]) -> type[TyperGroup]:
    """Return a class for `typer.Typer(cls=...)` that has these commands."""

    class LazyGroup(TyperGroup):
        """Stand-ins with the commands' summaries, and, once named, the commands."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.commands = {name: TyperCommand(name, help=entry.summary) for name, entry in entries.items()}

        def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
            """Return the command itself."""
            name, stand_in, rest = super().resolve_command(ctx, args)
            return name, stand_in if name is None else load(entries[name], name), rest

    return LazyGroup


def load(entry: Entry, name: str) -> Any:
    """Import a command."""
    command = get_command(entry.build())
    command.name = name
    return command


def single(command: Callable[..., None]) -> typer.Typer:
    """Return a program of one command."""
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return app
