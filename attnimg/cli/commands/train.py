"""`attnimg train`: one command per task that trains a net on the user's own images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import typer

from attnimg.cli.option_groups import make_command
from attnimg.cli.process import set_up_libraries
from attnimg.cli.terminal.console import Console
from attnimg.cli.terminal.status import Terminated
from attnimg.errors import Unavailable
from attnimg.models.registry import TASKS, Reference

if TYPE_CHECKING:
    from attnimg.training.loop import Progress

_HELP = """Train a net on your own images.

The run's folder gets recipe.toml, log.csv, curves.png, the state that --resume continues from, and at the end the
weights for --model, whose path is printed. Large files pixels-*, photos-* and masked-* hold the decoded images there
until the run is done. An interrupted run can be resumed.
"""
_COMMON = {"data", "run", "overrides"}  # options of every task; others are its own


def build_app() -> typer.Typer:
    """Return the group of commands."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, help=_HELP)
    for name, task in TASKS.items():
        if task.training_options and task.trainer:
            app.command(name)(_make(task.training_options, task.trainer))
    return app


def _make(options_of: Reference, trainer_of: Reference) -> Callable[..., None]:
    options = options_of.load()

    def run(given: Any) -> None:
        set_up_libraries()
        _train(trainer_of, given)

    return make_command(run, options, help=options.__doc__)


@contextmanager
def _needs_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"lightning", "matplotlib"}:
            raise
        raise Unavailable(f"Training needs {missing}. Install it with: pip install 'attnimg[train]'") from error


def _train(trainer_of: Reference, options: Any) -> None:
    """Load the recipe, train under a progress bar, remove the decoded images, and print the path of the weights."""
    with _needs_extra():
        trainer = trainer_of.load()
        from attnimg.training.trainer import train
    from attnimg.models.device import choose_device
    from attnimg.training.cache.files import remove_cached
    from attnimg.training.loop import LAST
    from attnimg.training.recipe import load_recipe
    from attnimg.training.run import RECIPE, Options, check_folder

    run = options.run
    choose_device(run.device)
    check_folder(run.output, run.resume)
    default = str(run.output / RECIPE) if run.resume else trainer.choose_recipe(run.start_from)
    recipe = load_recipe(run.recipe or default, trainer.recipe, **asdict(options.overrides))
    console = Console.of_process(run.quiet)
    with console.progress("steps") as bar:

        def watch(progress: Progress, total: int) -> None:
            best = f", best {progress.best:.3f}" if progress.best_epoch >= 0 else ""
            bar.update(progress.step, total, f"loss {progress.loss / max(1, progress.counted):.3f}{best}")

        def say(line: str) -> None:
            with bar.paused_for_log():
                console.log(line)

        try:
            path = train(
                trainer,
                recipe,
                options.data,
                run.output,
                options=Options(
                    validation=run.validation,
                    start_from=run.start_from,
                    resume=run.resume,
                    device=run.device,
                    devices=run.devices,
                    workers=run.threads,
                    watch=watch,
                    say=say,
                ),
                **{field.name: getattr(options, field.name) for field in fields(options) if field.name not in _COMMON},
            )
        except (KeyboardInterrupt, Terminated):
            if (run.output / LAST).is_file():
                say("Interrupted. The same command with --resume continues from here.")
            raise
    if path is not None:
        remove_cached(run.output)
        console.print(str(path))
