"""Typer commands from dataclasses of options (`attnimg.options`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer

from attnimg.options.option import Leaf, build_options, leaves


def make_command(run: Callable[..., None], *groups: type[Any], help: str) -> Callable[..., None]:
    """Make a Typer command that builds the groups from its options, and calls `run` with them.

    help: its first paragraph is the command's summary.
    """
    known = [leaves(group) for group in groups]

    def command(**values: Any) -> None:
        run(
            *(
                build_options(group, **{name: values[name] for name in own})
                for group, own in zip(groups, known, strict=True)
            )
        )

    # Typer reads the signature and the docstring.
    parameters = [_parameter(name, leaf) for own in known for name, leaf in own.items()]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = help
    return command


def _parameter(name: str, leaf: Leaf) -> Parameter:
    option, default = leaf.option, leaf.field.default
    bounds: dict[str, Any] = {"min": option.minimum, "max": option.maximum}
    if option.positional:
        described: Any = typer.Argument(metavar=option.metavar, help=option.help, show_default=False, **bounds)
    else:
        # Without explicit flags, Typer adds --no-... to an option that is on by default.
        flags = () if default is True else leaf.flags
        described = typer.Option(
            *flags, metavar=option.metavar, help=option.help, rich_help_panel=option.panel, **bounds
        )
    return Parameter(
        name,
        Parameter.KEYWORD_ONLY,
        default=Parameter.empty if default is MISSING else default,
        annotation=Annotated[leaf.hint, described],
    )
