"""The options of the terminal: how results are printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from attnimg.options.common import Quiet
from attnimg.options.option import Option

Format = Literal["table", "jsonl", "csv", "json"]


@dataclass(frozen=True)
class PrintOptions:
    """How records are printed."""

    format: Annotated[
        Format | None, Option(help="Format of the results; table on a terminal, else jsonl.", panel="Output")
    ] = None
    quiet: Quiet = False


@dataclass(frozen=True)
class MetricsOptions:
    """How figures are printed and written."""

    output: Annotated[
        Path | None,
        Option(flags=("--output", "-o"), metavar="DIR", help="Folder for the figures in detail: tables and plots."),
    ] = None
    format: Annotated[
        Literal["table", "csv", "json"] | None, Option(help="Default: table on a terminal, else json.")
    ] = None
    quiet: Quiet = False
