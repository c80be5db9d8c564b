"""The options that commands share, each with its help text in one place.

A group is a dataclass whose fields are options (see `spread`). It refuses contradictory ones itself, as a `UsageError`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Literal

import typer

from attnimg.cli.values import tell_apart
from attnimg.errors import UsageError

Model = Annotated[str, typer.Option(metavar="NAME|FILE", help="A model of `attnimg models`, or a weight file.")]
Views = Annotated[int, typer.Option(min=1, help="Squares per image, along its longer side; their scores are averaged.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing on stderr but what went wrong with the command.")
]
Device = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda[:N]|mps", help="Where the net runs.", rich_help_panel="Speed")
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(help="Floating type of the net; auto: bf16 on CUDA, else fp32.", rich_help_panel="Speed"),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Threads that read and write; default: one per CPU core, at most 16.", rich_help_panel="Speed"
    ),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Most images at once through the net.", rich_help_panel="Speed")]


@dataclass(frozen=True)
class Inputs:
    """Which images are read (contract C1)."""

    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT", help="Files, folders, patterns, or - for an image on stdin.", show_default=False
        ),
    ] = None
    from_file: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Take paths from a file, or - for stdin; one per line.", rich_help_panel="Input"
        ),
    ] = None
    nul: Annotated[bool, typer.Option("-0", help="The paths of --from-file end in NUL.", rich_help_panel="Input")] = (
        False
    )
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Outputs keep their input's path below this folder.", rich_help_panel="Input"),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave out files and folders by name or path.", rich_help_panel="Input"),
    ] = None
    recursive: Annotated[bool, typer.Option(help="Look into the folders of folders.", rich_help_panel="Input")] = True
    max_pixels: Annotated[
        int,
        typer.Option(
            min=1,
            help="Refuse images of more; of 16 bits, WebP, AVIF and progressive JPEGs half as many.",
            rich_help_panel="Input",
        ),
    ] = 300_000_000
    shard: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Take only the K-th of N parts of the inputs.", rich_help_panel="Long runs"),
    ] = None
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with what is added to the folders.", rich_help_panel="Long runs")
    ] = False
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Decode in processes of their own.", rich_help_panel="Long runs")
    ] = False
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=1e9,  # more than clocks and sockets take
            metavar="SECONDS",
            help="Give up on an image whose decoding takes longer; with --isolate.",
            rich_help_panel="Long runs",
        ),
    ] = None

    def __post_init__(self) -> None:
        if not self.inputs and self.from_file is None:
            raise UsageError(
                "There is nothing to look at. Name files or folders, - for stdin, or a list with --from-file."
            )
        if self.nul and self.from_file is None:
            raise UsageError("-0 says how --from-file is read; give a list, or - for stdin, with it.")
        if self.from_file == "-" and self.names_stdin:
            raise UsageError("stdin holds either an image (-) or the list (--from-file -), not both.")
        if self.timeout is not None and not self.isolate:
            raise UsageError("Only a process of its own can be given up: --timeout needs --isolate.")
        if self.watch and (self.from_file is not None or self.names_stdin):
            raise UsageError("--watch follows folders, and a list or stdin is none. Name the folders.")

    @property
    def names_stdin(self) -> bool:
        """Whether one of the inputs is `-`, an image on stdin."""
        return "-" in (self.inputs or ())

    @property
    def reads_stdin(self) -> bool:
        """Whether an image or the list comes on stdin."""
        return self.names_stdin or self.from_file == "-"


@dataclass(frozen=True)
class Outputs:
    """Which files are written (contract C3)."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the files written.", rich_help_panel="Output"),
    ] = None
    overlay: Annotated[
        bool,
        typer.Option(
            "--overlay", help="Write the image under the map of where the net looked.", rich_help_panel="Output"
        ),
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of earlier runs.", rich_help_panel="Output")
    ] = False
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out images whose output is there.", rich_help_panel="Output")
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would be read and written, and stop.", rich_help_panel="Output"),
    ] = False

    def __post_init__(self) -> None:
        if self.overlay and self.output is None:
            raise UsageError("--overlay writes files; say into which folder with -o DIR.")
        if self.overwrite and self.skip_existing:
            raise UsageError("--overwrite and --skip-existing contradict each other; give one of them.")

    def may_replace(self, inputs: Inputs) -> bool:
        """Tell whether files may be replaced, for which all inputs must be known; which those from stdin are not."""
        return self.overwrite or (self.skip_existing and inputs.from_file != "-" and not inputs.watch)


@dataclass(frozen=True)
class Where:
    """Where and how precisely the net runs, and how many threads serve it."""

    device: Device = "auto"
    precision: Precision = "auto"
    workers: Workers = None

    @property
    def threads(self) -> int:
        """Threads that read and write."""
        return count_threads(self.workers)


@dataclass(frozen=True)
class Compute(Where):
    """And how many images at once."""

    batch_size: BatchSize = 64


@dataclass(frozen=True)
class Report:
    """How results are printed and noted, when failures stop the run, and whether progress is told."""

    format: Annotated[
        Literal["table", "jsonl", "csv", "json"] | None,
        typer.Option(
            help="How results are printed; table on a terminal, else jsonl.",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Note there what is begun and what comes of it (.jsonl), for `attnimg resume`.",
            rich_help_panel="Long runs",
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run of --report.", rich_help_panel="Long runs")
    ] = False
    errors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the failures' records there, too.", rich_help_panel="Long runs"),
    ] = None
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel="Long runs")
    ] = False
    max_failures: Annotated[
        int | None, typer.Option(min=1, help="Stop at so many failures.", rich_help_panel="Long runs")
    ] = None
    quiet: Quiet = False

    def __post_init__(self) -> None:
        if self.resume and self.report is None:
            raise UsageError("--resume goes on with a run that --report has noted; name that file with --report.")
        if self.fail_fast and self.max_failures is not None:
            raise UsageError("--fail-fast is --max-failures 1; give one of them.")
        if self.errors is not None and self.errors.is_file() and not self.resume:
            raise UsageError(f"{self.errors} is there already. Name another file for --errors.")
        for path in filter(None, (self.report, self.errors)):
            if os.fspath(path) == "-":
                raise UsageError("stdout is for the records; --report and --errors take files.")
        tell_apart(self.files)

    @property
    def files(self) -> dict[str, Path | None]:
        """The files of all images together, by their options."""
        return {"--report": self.report, "--errors": self.errors}

    @property
    def most_failures(self) -> float:
        """Failures at which the run stops."""
        return 1 if self.fail_fast else self.max_failures or inf


def count_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def count_threads(workers: int | None) -> int:
    """Return --workers, or its default."""
    return workers or min(16, count_cores())
