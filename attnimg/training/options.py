"""The options of `attnimg train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from attnimg.options.common import Device, Quiet, Workers, count_threads
from attnimg.options.option import Option
from attnimg.runtime import Precision


@dataclass(frozen=True)
class TrainingRunOptions:
    """The folder of a run, its start, and its devices."""

    output: Annotated[
        Path,
        Option(
            flags=("--output", "-o"),
            metavar="DIR",
            help="Folder of the run: recipe, log, curves, weights, and until it is done the decoded images.",
        ),
    ]
    validation: Annotated[
        Path | None, Option(flags=("--val",), metavar="DIR", help="Validation part; default: DATA/val.")
    ] = None
    recipe: Annotated[
        str | None,
        Option(
            metavar="NAME|FILE",
            help="Shipped recipe or TOML file. Default: one for CPUs, or for --from; with --resume, its own.",
        ),
    ] = None
    start_from: Annotated[
        str | None, Option(flags=("--from",), metavar="MODEL", help="Fine-tune: start from a model's weights.")
    ] = None
    resume: Annotated[bool, Option(help="Continue the run in --output.")] = False
    device: Device = "auto"
    devices: Annotated[int, Option(minimum=1, help="GPUs that share the work.", panel="Speed")] = 1
    workers: Workers = None
    quiet: Quiet = False

    @property
    def threads(self) -> int:
        """Threads that decode."""
        return count_threads(self.workers)


@dataclass(frozen=True)
class RecipeOverrides:
    """Values that replace the recipe's."""

    epochs: Annotated[int | None, Option(minimum=1, help="Overrides the recipe.")] = None
    batch_size: Annotated[int | None, Option(minimum=1, help="Overrides the recipe.")] = None
    learning_rate: Annotated[float | None, Option(minimum=0, help="Overrides the recipe.")] = None
    size: Annotated[int | None, Option(minimum=16, help="Side of the net's input; overrides the recipe.")] = None
    seed: Annotated[int | None, Option(minimum=0, help="Overrides the recipe.")] = None
    precision: Annotated[Precision | None, Option(help="Overrides the recipe.")] = None


@dataclass(frozen=True)
class ClassifyTraining:
    """Train a classifier on folders of images, one folder per class.

    Without val/ a tenth of the images validates.
    """

    data: Annotated[
        Path, Option(positional=True, metavar="DATA", help="Folder with train/ and val/, each with a folder per class.")
    ]
    run: TrainingRunOptions
    overrides: RecipeOverrides


@dataclass(frozen=True)
class EnhanceTraining:
    """Train an enhancer on pairs of photos, in low and in normal light, whose names differ only in the extension.

    With --synthesize and without val/ a tenth of the photos validates.
    """

    data: Annotated[
        Path, Option(positional=True, metavar="DATA", help="Folder with train/ and val/, each with low/ and normal/.")
    ]
    run: TrainingRunOptions
    overrides: RecipeOverrides
    synthesize: Annotated[bool, Option(help="Darken photos of train/normal/ that have no partner in train/low/.")] = (
        False
    )


@dataclass(frozen=True)
class SegmentTraining:
    """Train a segmenter on photos and their masks, whose names differ only in the extension.

    A mask's pixels are the indices of the classes in classes.json: {"classes": ["sky", ...], "colors": [[128, 128,
    128], ...], "void": 255}. --from takes a segmenter, or a classifier for its backbone.
    """

    data: Annotated[
        Path,
        Option(
            positional=True,
            metavar="DATA",
            help="Folder with classes.json, and train/ and val/, each with images/ and masks/.",
        ),
    ]
    run: TrainingRunOptions
    overrides: RecipeOverrides
