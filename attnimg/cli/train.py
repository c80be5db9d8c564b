"""`attnimg train`: one command per task that trains a net on the user's own images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from attnimg.cli.console import Console
from attnimg.cli.options import Device, Quiet, Workers, count_threads
from attnimg.cli.spread import spread
from attnimg.cli.status import Terminated
from attnimg.errors import Unavailable

if TYPE_CHECKING:
    from attnimg.training.loop import Progress
    from attnimg.training.recipe import Recipe

app = typer.Typer(no_args_is_help=True)


@app.callback()
def train() -> None:
    """Train a net on your own images.

    The run's folder takes recipe.toml, log.csv, curves.png, the state that --resume goes on from, and at the end the
    weights for --model, whose path is printed; large files pixels-*, photos-* and masked-* hold the decoded images
    there until the run is done. An interrupted run can be resumed.
    """


@dataclass(frozen=True)
class Run:
    """Where a run lies, what it begins with, and where it runs."""

    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the run: recipe, log, curves, weights, and until it is done the decoded images.",
        ),
    ]
    validation: Annotated[
        Path | None, typer.Option("--val", metavar="DIR", help="Validation part of the data set; default: DATA/val.")
    ] = None
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Shipped recipe or TOML file. Default: one for CPUs, or for --from; with --resume, its own.",
        ),
    ] = None
    start_from: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="Fine-tune: start from a model's weights.")
    ] = None
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in --output.")] = False
    device: Device = "auto"
    devices: Annotated[int, typer.Option(min=1, help="GPUs that share the work.", rich_help_panel="Speed")] = 1
    workers: Workers = None
    quiet: Quiet = False


@dataclass(frozen=True)
class Changes:
    """What a run has instead of its recipe's values."""

    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Instead of the recipe's.")] = None
    size: Annotated[int | None, typer.Option(min=16, help="Side of the net's input, instead of the recipe's.")] = None
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the recipe's.")] = None
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"] | None, typer.Option(help="Instead of the recipe's.")
    ] = None


@app.command("classify")
@spread
def train_classify(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with train/ and val/, each with a folder per class.")
    ],
    run: Run,
    changes: Changes,
) -> None:
    """Train a classifier on folders of images, one folder per class.

    Without val/ a tenth of the images validates.
    """
    with _extra():
        from attnimg.training.train_classifier import train_classifier
    from attnimg.training.recipe import ClassifyRecipe

    default = "finetune" if run.start_from else "objects-cpu"
    _train(train_classifier, ClassifyRecipe, default, data, run, changes)


@app.command("enhance")
@spread
def train_enhance(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with train/ and val/, each with low/ and normal/.")
    ],
    run: Run,
    changes: Changes,
    *,
    synthesise: Annotated[
        bool, typer.Option("--synthesise", help="Darken photos of train/normal/ that have no partner in train/low/.")
    ] = False,
) -> None:
    """Train an enhancer on pairs of photos, in low and in normal light, of one name but for the ending.

    With --synthesise and without val/ a tenth of the photos validates.
    """
    with _extra():
        from attnimg.training.train_enhancer import train_enhancer
    from attnimg.training.recipe import EnhanceRecipe

    default = "finetune" if run.start_from else "night-cpu"
    _train(train_enhancer, EnhanceRecipe, default, data, run, changes, synthesise=synthesise)


@app.command("segment")
@spread
def train_segment(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder with classes.json, and train/ and val/, each with images/ and masks/."
        ),
    ],
    run: Run,
    changes: Changes,
) -> None:
    """Train a segmenter on photos and their masks, of one name but for the ending.

    A mask's pixels are the indices of the classes in classes.json: {"classes": ["sky", ...], "colors": [[128, 128,
    128], ...], "void": 255}. --from takes a segmenter, or a classifier for its backbone.
    """
    with _extra():
        from attnimg.training.train_segmenter import train_segmenter
    from attnimg.training.recipe import SegmentRecipe

    _train(train_segmenter, SegmentRecipe, "street-cpu", data, run, changes)


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"lightning", "matplotlib"}:
            raise
        raise Unavailable(f"Training needs {missing}. Install it with: pip install 'attnimg[train]'") from error


def _train(
    train: Callable[..., Path | None],
    kind: type[Recipe],
    default: str,
    data: Path,
    run: Run,
    changes: Changes,
    **options: Any,
) -> None:
    """Load the recipe, train under a progress bar, remove what was decoded, and print the path of the weights."""
    from attnimg.tasks.device import choose_device
    from attnimg.training.decoded import remove_decoded
    from attnimg.training.loop import LAST
    from attnimg.training.recipe import load_recipe
    from attnimg.training.run import RECIPE, check_folder

    choose_device(run.device)
    check_folder(run.output, run.resume)
    name = run.recipe or (str(run.output / RECIPE) if run.resume else default)
    recipe = load_recipe(name, kind, **asdict(changes))
    console = Console.of_process(run.quiet)
    with console.progress("steps") as bar:

        def watch(progress: Progress, total: int) -> None:
            best = f", best {progress.best:.3f}" if progress.best_epoch >= 0 else ""
            bar.update(progress.step, total, f"loss {progress.loss / max(1, progress.counted):.3f}{best}")

        def say(line: str) -> None:
            with bar.above():
                console.say(line)

        try:
            path = train(
                recipe,
                data,
                run.output,
                validation=run.validation,
                start_from=run.start_from,
                resume=run.resume,
                device=run.device,
                devices=run.devices,
                workers=count_threads(run.workers),
                watch=watch,
                say=say,
                **options,
            )
        except (KeyboardInterrupt, Terminated):
            if (run.output / LAST).is_file():
                say("Interrupted. The same command with --resume goes on from here.")
            raise
    if path is not None:
        remove_decoded(run.output)
        console.print(str(path))
