"""The options of `attnimg classify`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from attnimg.errors import UsageError
from attnimg.files.formats import has_image_extension
from attnimg.models.registry import TASKS
from attnimg.options.common import ImageOptions, Model, Views
from attnimg.options.option import Option

How = Literal["copy", "symlink", "hardlink"]


@dataclass(frozen=True)
class SortOptions:
    """Whether and how images are sorted into folders."""

    sort_into: Annotated[
        Path | None, Option(metavar="DIR", help="Sort each image into a folder per best label.", panel="Output")
    ] = None
    copy: Annotated[bool, Option(help="Sort copies (default).", panel="Output")] = False
    symlink: Annotated[bool, Option(help="Sort symbolic links.", panel="Output")] = False
    hardlink: Annotated[bool, Option(help="Sort hard links.", panel="Output")] = False

    def __post_init__(self) -> None:
        if self.copy + self.symlink + self.hardlink > 1:
            raise UsageError("--copy, --symlink and --hardlink contradict each other; give one of them.")
        if self.copy + self.symlink + self.hardlink > 0 and self.sort_into is None:
            raise UsageError("--copy, --symlink and --hardlink need --sort-into DIR.")

    @property
    def how(self) -> How:
        """The kind of file in a label's folder."""
        return "symlink" if self.symlink else "hardlink" if self.hardlink else "copy"


@dataclass(frozen=True)
class ClassifyOptions(ImageOptions):
    """Label images, best label first.

    Results go to stdout, one record per image, in order; everything else goes to stderr. An image that fails gets a
    record that says why, the others are done, and the exit status is 1.
    """

    sorting: SortOptions
    model: Model = TASKS["classify"].model
    topk: Annotated[int, Option(minimum=1, help="Most labels per image.")] = 5
    min_score: Annotated[float, Option(minimum=0, maximum=1, help="Report only labels with at least this score.")] = 0.0
    views: Views = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        output, sort_into = self.outputs.output, self.sorting.sort_into
        if output and not self.outputs.overlay:
            raise UsageError("-o is the folder of overlays. Add --overlay, or leave -o out.")
        if output and (self.outputs.to_stdout or has_image_extension(output)):
            raise UsageError("Overlays go into a folder: -o DIR.")
        if sort_into and self.inputs.names_stdin:
            raise UsageError("--sort-into keeps the images' names, and stdin has none. Save the image as a file first.")
        if sort_into and self.inputs.shard:
            raise UsageError("--sort-into numbers equal names, which needs all inputs. Leave out --shard.")

    @property
    def writes_among_inputs(self) -> bool:
        """Whether the output folder is an input."""
        output, inputs = self.outputs.output, self.inputs.inputs or ()
        return output is not None and any(os.path.realpath(output) == os.path.realpath(path) for path in inputs)
