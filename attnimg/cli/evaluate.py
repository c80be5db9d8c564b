"""`attnimg evaluate`: one command per task that measures a model on images whose truth is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from attnimg import checkpoints
from attnimg.cli.console import Console
from attnimg.cli.options import Compute, Model, Quiet, Views, Where
from attnimg.cli.spread import spread

if TYPE_CHECKING:
    from attnimg.evaluation.report import Evaluation

Format = Literal["table", "csv", "json"]

app = typer.Typer(no_args_is_help=True)


@dataclass(frozen=True)
class Figures:
    """How the figures are handed out."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the figures in detail: tables and plots."),
    ] = None
    format: Annotated[Format | None, typer.Option(help="Default: table on a terminal, else json.")] = None
    quiet: Quiet = False


@app.callback()
def evaluate() -> None:
    """Measure a model on images whose truth is known."""


@app.command("classify")
@spread
def evaluate_classify(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with a folder per class, named by the class's id.")
    ],
    compute: Compute,
    figures: Figures,
    *,
    model: Model = "objects",
    views: Views = 1,
) -> None:
    """Measure a classifier: top-1, top-5, precision and recall, and whether its scores can be believed.

    Of a data set with a part DATA/val that part is taken; of one that the model was trained on without such a part,
    what training held out; else all of it. All but the loss (in nats) are fractions between 0 and 1.
    """
    from attnimg.evaluation.run import evaluate_classifier
    from attnimg.tasks.classify import load_classifier

    classifier = load_classifier(model, device=compute.device, precision=compute.precision, views=views)
    training = checkpoints.read_header(checkpoints.find(model)).get("training")
    evaluate = partial(evaluate_classifier, classifier, data, training=training, batch_size=compute.batch_size)
    _evaluate(evaluate, compute, figures, model)


@app.command("enhance")
@spread
def evaluate_enhance(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with low/ and normal/, paired by name; or of any photos.")
    ],
    where: Where,
    figures: Figures,
    *,
    model: Model = "night",
) -> None:
    """Measure an enhancer: PSNR in dB, SSIM, and the error of the mean brightness, between 0 and 1.

    Of a data set with a part DATA/val that part is taken. Nothing is matched to the truth's brightness. Photos without
    low/ and normal/ are scored before and after by PIQE, 0 (best) to 100, which tells of noise, not of brightness.
    """
    from attnimg.evaluation.run import evaluate_enhancer
    from attnimg.tasks.enhance import load_enhancer

    enhancer = load_enhancer(model, device=where.device, precision=where.precision)
    _evaluate(partial(evaluate_enhancer, enhancer, data), where, figures, model)


@app.command("segment")
@spread
def evaluate_segment(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with images/ and masks/, paired by name, and classes.json.")
    ],
    where: Where,
    figures: Figures,
    *,
    model: Model = "street",
) -> None:
    """Measure a segmenter: mean IoU, pixel accuracy, boundary F-score, and the IoU of each class.

    Of a data set with a part DATA/val that part is taken. All are fractions between 0 and 1; means are over the classes
    that occur. An outline may be off by 0.75 % of the photo's diagonal. Void pixels are left out of account.
    """
    from attnimg.evaluation.run import evaluate_segmenter
    from attnimg.tasks.segment import load_segmenter

    segmenter = load_segmenter(model, device=where.device, precision=where.precision)
    _evaluate(partial(evaluate_segmenter, segmenter, data), where, figures, model)


def _evaluate(evaluate: Callable[..., Evaluation], where: Where, figures: Figures, model: str) -> None:
    """Evaluate under a progress bar, print what came of it, and write it in detail where that was asked for."""
    console = Console.of_process(figures.quiet)
    with console.progress("images") as bar:
        evaluation = evaluate(workers=where.threads, watch=bar.update)
    console.say(f"Measured on {evaluation.on}.")
    print_results(console, evaluation.results, figures.format)
    if figures.output is not None:
        for path in evaluation.write(figures.output, sha256=checkpoints.sha256(checkpoints.find(model))):
            console.say(f"wrote {path}")


def print_results(console: Console, results: Mapping[str, float], format_: Format | None) -> None:
    """Print each result's name and value, the number of images among them."""
    match format_ or ("table" if console.out.isatty() else "json"):
        case "json":
            console.print(json.dumps(results))
        case "csv":
            csv.writer(console, lineterminator="\n").writerows([("name", "value"), *results.items()])
            console.flush()
        case _:
            width = max(map(len, results)) + 1
            for name, value in results.items():
                console.print(f"{name:<{width}}{value:>10,}" if name == "images" else f"{name:<{width}}{value:>10.4f}")
