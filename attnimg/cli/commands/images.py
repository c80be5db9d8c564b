"""The commands on images, one per task."""

from __future__ import annotations

import typer

from attnimg.cli.lazy import single
from attnimg.cli.option_groups import make_command
from attnimg.cli.options import PrintOptions
from attnimg.models.registry import find_task
from attnimg.options.common import ImageOptions


def build_app(task: str) -> typer.Typer:
    """Return the command of a task."""
    options: type[ImageOptions] = find_task(task).options.load()

    def run(given: ImageOptions, printing: PrintOptions) -> None:
        from attnimg.cli.run_batch import run_batch  # imports OpenCV and Pillow; `--help` needs neither

        raise typer.Exit(run_batch(task, given, printing))

    return single(make_command(run, options, PrintOptions, help=options.__doc__ or ""))
