"""`attnimg evaluate`: one command per task that measures a model on images whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from attnimg import checkpoints
from attnimg.cli.console import Console
from attnimg.cli.options import Compute, Model, Quiet, Views, spread

app = typer.Typer(no_args_is_help=True)


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
    *,
    model: Model = "objects",
    views: Views = 1,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the confusion matrix, per-class figures, plots."
        ),
    ] = None,
    format: Annotated[
        Literal["table", "csv", "json"] | None, typer.Option(help="Default: table on a terminal, else json.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Measure a classifier: top-1, top-5, precision and recall, and whether its scores can be believed.

    Of a data set with a part DATA/val that part is taken. All but the loss (in nats) are fractions between 0 and 1.
    """
    console = Console.of_process(quiet)
    from attnimg.evaluation.run import evaluate_classifier
    from attnimg.tasks.classify import load_classifier

    classifier = load_classifier(model, device=compute.device, precision=compute.precision, views=views)
    with console.progress("images") as bar:
        metrics = evaluate_classifier(
            classifier,
            data,
            batch_size=compute.batch_size,
            workers=compute.threads,
            watch=lambda done, total: bar.update(done, total),
        )
    results = {"images": metrics.images, **dict(metrics.results())}
    match format or ("table" if console.out.isatty() else "json"):
        case "json":
            console.print(json.dumps(results))
        case "csv":
            for name, value in {"name": "value", **results}.items():
                console.print(f"{name},{value}")
        case _:
            for name, value in results.items():
                console.print(f"{name:<12}{value:>10,}" if name == "images" else f"{name:<12}{value:>10.4f}")
    if output is not None:
        from attnimg.evaluation.report import write_report

        labels = {c.id: c.label for c in classifier.classes}
        for path in write_report(output, metrics, labels, sha256=checkpoints.sha256(checkpoints.find(model))):
            console.say(f"wrote {path}")
