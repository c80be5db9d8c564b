"""The options that commands share. A group is a dataclass that refuses contradictory options itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Annotated

from attnimg.errors import UsageError
from attnimg.files.outputs import STDOUT
from attnimg.options.option import Option
from attnimg.options.parsing import check_distinct
from attnimg.runtime import MAX_PIXELS, Precision, count_cores

_INPUT, _OUTPUT, _SPEED, _LONG = "Input", "Output", "Speed", "Long runs"

Model = Annotated[str, Option(metavar="NAME|FILE", help="A model of `attnimg models`, or a weight file.")]
Views = Annotated[
    int, Option(minimum=1, help="Square views per image, along its longer side; their scores are averaged.")
]
Quiet = Annotated[
    bool, Option(flags=("--quiet", "-q"), help="Print nothing on stderr but the errors that end the command.")
]
Device = Annotated[str, Option(metavar="auto|cpu|cuda[:N]|mps", help="Where the net runs.", panel=_SPEED)]
PrecisionOption = Annotated[
    Precision,
    Option(help="Floating-point type of the net; auto: bf16 on CUDA, else fp32.", panel=_SPEED),
]
Workers = Annotated[
    int | None,
    Option(minimum=1, help="Threads that read and write; default: one per CPU core, at most 16.", panel=_SPEED),
]


@dataclass(frozen=True)
class InputOptions:
    """The images that are read (docs/contract.md, C1)."""

    inputs: Annotated[
        list[str] | None,
        Option(metavar="INPUT", positional=True, help="Files, folders, patterns, or - for an image on stdin."),
    ] = None
    from_file: Annotated[
        str | None, Option(metavar="LIST", help="Read paths from a file, or - for stdin; one per line.", panel=_INPUT)
    ] = None
    nul: Annotated[bool, Option(flags=("-0",), help="The paths of --from-file end in NUL.", panel=_INPUT)] = False
    root: Annotated[
        Path | None, Option(metavar="DIR", help="Outputs keep their input's path below this folder.", panel=_INPUT)
    ] = None
    exclude: Annotated[
        list[str] | None, Option(metavar="PATTERN", help="Skip files and folders by name or path.", panel=_INPUT)
    ] = None
    recursive: Annotated[bool, Option(help="Search subfolders.", panel=_INPUT)] = True
    max_pixels: Annotated[
        int,
        Option(
            minimum=1,
            help="Refuse larger images; half as many pixels for 16 bits, WebP, AVIF and progressive JPEGs.",
            panel=_INPUT,
        ),
    ] = MAX_PIXELS
    shard: Annotated[str | None, Option(metavar="K/N", help="Take the K-th of N parts of the inputs.", panel=_LONG)] = (
        None
    )
    watch: Annotated[bool, Option(help="Keep running, and take images that are added to the folders.", panel=_LONG)] = (
        False
    )
    isolate: Annotated[bool, Option(help="Decode images in child processes.", panel=_LONG)] = False
    timeout: Annotated[
        float | None,
        Option(
            minimum=0.1,
            maximum=1e9,  # more than clocks and sockets take
            metavar="SECONDS",
            help="Give up an image that takes longer to decode; with --isolate.",
            panel=_LONG,
        ),
    ] = None

    def __post_init__(self) -> None:
        if not self.inputs and self.from_file is None:
            raise UsageError("No input is given. Name files or folders, - for stdin, or a list with --from-file.")
        if self.nul and self.from_file is None:
            raise UsageError("-0 applies to --from-file. Give a list with it, or - for stdin.")
        if self.from_file == "-" and self.names_stdin:
            raise UsageError("stdin holds either an image (-) or the list (--from-file -), not both.")
        if self.timeout is not None and not self.isolate:
            raise UsageError("--timeout needs --isolate: only a child process can be stopped.")
        if self.watch and (self.from_file is not None or self.names_stdin):
            raise UsageError("--watch works on folders only, not on --from-file or stdin. Name the folders.")

    @property
    def names_stdin(self) -> bool:
        """Whether one of the inputs is `-`, an image on stdin."""
        return "-" in (self.inputs or ())

    @property
    def reads_stdin(self) -> bool:
        """Whether an image or the list comes on stdin."""
        return self.names_stdin or self.from_file == "-"


@dataclass(frozen=True)
class OutputOptions:
    """The files that are written (docs/contract.md, C3)."""

    output: Annotated[
        Path | None, Option(flags=("--output", "-o"), metavar="DIR", help="Folder for the outputs.", panel=_OUTPUT)
    ] = None
    overlay: Annotated[bool, Option(help="Write the image under its attention map.", panel=_OUTPUT)] = False
    overwrite: Annotated[bool, Option(help="Replace existing outputs.", panel=_OUTPUT)] = False
    skip_existing: Annotated[bool, Option(help="Skip images whose output exists.", panel=_OUTPUT)] = False
    dry_run: Annotated[bool, Option(help="Print what would be read and written, and stop.", panel=_OUTPUT)] = False

    def __post_init__(self) -> None:
        if self.overlay and self.output is None:
            raise UsageError("--overlay writes files. Name a folder for them with -o DIR.")
        if self.overwrite and self.skip_existing:
            raise UsageError("--overwrite and --skip-existing contradict each other; give one of them.")

    @property
    def to_stdout(self) -> bool:
        """Whether the output goes to stdout."""
        return self.output == STDOUT

    def may_replace(self, inputs: InputOptions) -> bool:
        """Whether existing files may be replaced. That requires all inputs in advance, which stdin cannot give."""
        return self.overwrite or (self.skip_existing and inputs.from_file != "-" and not inputs.watch)


@dataclass(frozen=True)
class DeviceOptions:
    """Where and how precisely the net runs, and how many threads serve it."""

    device: Device = "auto"
    precision: PrecisionOption = "auto"
    workers: Workers = None

    @property
    def threads(self) -> int:
        """Threads that read and write."""
        return count_threads(self.workers)


@dataclass(frozen=True)
class ComputeOptions(DeviceOptions):
    """Options of the device, and the size of its batches."""

    batch_size: Annotated[int, Option(minimum=1, help="Most images at once through the net.", panel=_SPEED)] = 64


@dataclass(frozen=True)
class RunOptions:
    """How a run is journaled, and which failures stop it."""

    report: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write a journal of the run (.jsonl), for `attnimg resume`.", panel=_LONG),
    ] = None
    resume: Annotated[bool, Option(help="Continue the run of --report.", panel=_LONG)] = False
    errors: Annotated[
        Path | None, Option(metavar="FILE", help="Also write the records of failures to a file.", panel=_LONG)
    ] = None
    fail_fast: Annotated[bool, Option(help="Stop at the first failure.", panel=_LONG)] = False
    max_failures: Annotated[int | None, Option(minimum=1, help="Stop after so many failures.", panel=_LONG)] = None

    def __post_init__(self) -> None:
        if self.resume and self.report is None:
            raise UsageError("--resume continues the run of a journal. Name its file with --report.")
        if self.fail_fast and self.max_failures is not None:
            raise UsageError("--fail-fast is --max-failures 1; give one of them.")
        if self.errors is not None and self.errors.is_file() and not self.resume:
            raise UsageError(f"{self.errors} exists. Name another file for --errors.")
        for path in filter(None, (self.report, self.errors)):
            if os.fspath(path) == "-":
                raise UsageError("stdout is for the records; --report and --errors take files.")
        check_distinct(self.files)

    @property
    def files(self) -> dict[str, Path | None]:
        """The files that are written once per run, by their options."""
        return {"--report": self.report, "--errors": self.errors}

    @property
    def most_failures(self) -> float:
        """Failures at which the run stops."""
        return 1 if self.fail_fast else self.max_failures or inf


@dataclass(frozen=True)
class ImageOptions:
    """The groups that every command on images takes."""

    inputs: InputOptions
    outputs: OutputOptions
    compute: ComputeOptions
    run: RunOptions

    def __post_init__(self) -> None:
        if self.outputs.to_stdout and (self.run.report or self.run.errors):
            raise UsageError("-o - writes one file and no record. For --report and --errors name a folder.")


def count_threads(workers: int | None) -> int:
    """Return --workers, or its default."""
    return workers or min(16, count_cores())
