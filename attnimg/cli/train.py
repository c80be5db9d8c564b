"""`attnimg train`: one command per task that trains a net on the user's own images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from attnimg.cli.console import Console
from attnimg.cli.options import Device, Quiet, Workers, count_cores
from attnimg.errors import Unavailable

app = typer.Typer(no_args_is_help=True, help="Train a net on your own images.")


@app.callback()
def train() -> None:
    """Train a net on your own images."""


@app.command("classify")
def train_classify(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder with train/ and val/, each with a folder per class.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run: log, curves, weights.")],
    validation: Annotated[
        Path | None, typer.Option("--val", metavar="DIR", help="Validation images; default DATA/val, else a tenth.")
    ] = None,
    recipe: Annotated[str, typer.Option(metavar="NAME|FILE", help="A shipped recipe or a TOML file.")] = "objects-cpu",
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Side of the net's input in pixels, instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"] | None, typer.Option(help="Instead of the recipe's.", show_default=False)
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="Fine-tune: start from a model's weights.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.")] = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many GPUs share the work.", rich_help_panel="Speed")] = 1,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on folders of images, one folder per class.

    The run's folder takes recipe.toml, log.csv, the state that --resume goes on from, and at the end a weight file that
    `attnimg classify --model` takes. Its path is printed.
    """
