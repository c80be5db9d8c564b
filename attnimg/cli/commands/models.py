"""`attnimg models`: list, describe and verify models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from attnimg.cli.terminal.console import Console
from attnimg.cli.terminal.status import ExitStatus
from attnimg.errors import Unavailable
from attnimg.models import checkpoints
from attnimg.models.cards import write_cards
from attnimg.models.sources import WeightFiles, find_model

app = typer.Typer(add_completion=False, invoke_without_command=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A shipped model's name, or the path of a weight file.")]


def build_app() -> typer.Typer:
    """Return the group of commands."""
    return app


@app.callback()
def models(context: typer.Context) -> None:
    """List the models, show the header of one, or verify their files."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models() -> None:
    """List the shipped models: name, task, number of classes, parameters, size of the file."""
    console = Console.of_process()
    paths = checkpoints.available()
    if not paths:
        raise Unavailable(f"There are no weights in {checkpoints.weights_folder()}. Install attnimg again.")
    console.print(f"{'model':<20}{'task':<12}{'classes':>8}{'parameters':>14}{'size':>10}")
    for path in paths:
        header = checkpoints.read_header(path)
        classes = str(len(header["classes"])) if "classes" in header else "-"
        parameters = f"{header['parameters']:,}" if "parameters" in header else "-"
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        console.print(f"{path.stem:<20}{header['task']:<12}{classes:>8}{parameters:>14}{size:>10}")


@app.command()
def show(model: Model) -> None:
    """Print a model's header as JSON: classes, training data and terms, figures."""
    found = find_model(model)
    about = {"file": found.origin, "sha256": found.sha256, **found.header}
    console = Console.of_process()
    for line in json.dumps(about, indent=2).splitlines():
        console.print(line)


@app.command()
def verify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Names or paths; without any, all shipped models.")
    ] = None,
) -> None:
    """Check that weight files are undamaged, and that the shipped ones are unchanged."""
    console = Console.of_process()
    status = ExitStatus.OK
    for path in [WeightFiles().find(model).path for model in models] if models else checkpoints.available():
        try:
            checkpoints.verify(path)
        except Unavailable as error:
            console.print(f"{path.stem}: {error}")
            status = ExitStatus.UNAVAILABLE
        else:
            console.print(f"{path.stem}: whole")
    raise typer.Exit(status)


@app.command()
def cards(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that holds the *.safetensors.")],
) -> None:
    """Write the model cards and the manifest of a folder of weight files, from their headers."""
    console = Console.of_process()
    for path in write_cards(folder):
        console.print(str(path))
