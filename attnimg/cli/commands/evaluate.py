"""`attnimg evaluate`: one command per task that measures a model on labeled images."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import typer

from attnimg.cli.option_groups import make_command
from attnimg.cli.options import MetricsOptions
from attnimg.cli.process import set_up_libraries
from attnimg.cli.terminal.console import Console
from attnimg.models.registry import TASKS, Reference
from attnimg.models.sources import find_model

if TYPE_CHECKING:
    from attnimg.evaluation.report import Evaluation


def build_app() -> typer.Typer:
    """Return the group of commands."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, help="Measure a model on labeled images.")
    for name, task in TASKS.items():
        if task.evaluation_options and task.measure:
            app.command(name)(_make(task.evaluation_options, task.measure))
    return app


def _make(options_of: Reference, measure_of: Reference) -> Callable[..., None]:
    options = options_of.load()

    def run(given: Any, metrics: MetricsOptions) -> None:
        set_up_libraries()
        console = Console.of_process(metrics.quiet)
        measure = measure_of.load()
        with console.progress("images") as bar:
            evaluation: Evaluation = measure(given, bar.update)
        console.log(f"Measured on {evaluation.dataset}.")
        print_results(console, evaluation.results, metrics.format)
        if metrics.output is not None:
            for path in evaluation.write(metrics.output, sha256=find_model(given.model).sha256):
                console.log(f"wrote {path}")

    return make_command(run, options, MetricsOptions, help=options.__doc__)


def print_results(console: Console, results: Mapping[str, float], format_: str | None) -> None:
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
