"""`attnimg train`: one command per task that trains a net on the user's own images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnimg.cli.console import Console
from attnimg.cli.options import Device, Quiet, Workers, count_threads
from attnimg.cli.status import Terminated
from attnimg.errors import Unavailable

if TYPE_CHECKING:
    from attnimg.training.loop import Progress

app = typer.Typer(no_args_is_help=True)


@app.callback()
def train() -> None:
    """Train a net on your own images."""


@app.command("classify")
def train_classify(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with train/ and val/, each with a folder per class.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the run: recipe, log, curves, weights.")
    ],
    validation: Annotated[
        Path | None, typer.Option("--val", metavar="DIR", help="Validation images; default: DATA/val, else a tenth.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Shipped recipe or TOML file. Default: objects-cpu; with --from, finetune; with --resume, its own.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    size: Annotated[int | None, typer.Option(min=16, help="Side of the net's input, instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None, typer.Option(help="Instead of the recipe's.")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="Fine-tune: start from a model's weights.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in --output.")] = False,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="GPUs that share the work.", rich_help_panel="Speed")] = 1,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Train a classifier on folders of images, one folder per class.

    The run's folder takes recipe.toml, log.csv, curves.png, the state that --resume goes on from, and at the end the
    weights for `attnimg classify --model`, whose path is printed. An interrupted run can be resumed.
    """
    console = Console.of_process(quiet)
    try:
        from attnimg.training.loop import LAST
        from attnimg.training.run import RECIPE, check_folder, train_classifier
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"lightning", "matplotlib"}:
            raise
        raise Unavailable(f"Training needs {missing}. Install it with: pip install 'attnimg[train]'") from error
    from attnimg.tasks.device import choose_device
    from attnimg.training.recipe import load_recipe

    choose_device(device)
    check_folder(output, resume)
    default = str(output / RECIPE) if resume else "finetune" if start_from else "objects-cpu"
    chosen = load_recipe(
        recipe or default,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        size=size,
        seed=seed,
        precision=precision,
    )
    with console.progress("steps") as bar:

        def watch(progress: Progress, total: int) -> None:
            best = f", best {progress.best:.3f}" if progress.best_epoch >= 0 else ""
            bar.update(progress.step, total, f"loss {progress.loss / max(1, progress.counted):.3f}{best}")

        try:
            path = train_classifier(
                chosen,
                data,
                output,
                validation=validation,
                start_from=start_from,
                resume=resume,
                device=device,
                devices=devices,
                workers=count_threads(workers),
                watch=watch,
                say=console.say,
            )
        except (KeyboardInterrupt, Terminated):
            if (output / LAST).is_file():
                console.say("Interrupted. The same command with --resume goes on from here.")
            raise
    if path is not None:
        console.print(str(path))
