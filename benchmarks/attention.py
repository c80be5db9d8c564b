"""Compare the same net, recipe and budget with and without attention, over several seeds.

    python benchmarks/attention.py classify DATA -o RUNS    DATA as scripts/arrange_tiny_imagenet.py makes it
    python benchmarks/attention.py segment DATA -o RUNS     DATA as `attnimg train segment` takes it

Prints a line per run and, at the end, a table with a row per variant: the score on the validation images after the
last epoch (mean, standard deviation, and each seed's), the net's parameters, and the seconds of the training steps. All
variants are trained with one seed before the next seed, so that other work on the machine slows them alike. RUNS gets a
folder per run: a folder with a weight file is not trained again, and an interrupted run is resumed.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from attnimg.cli.process import set_up_libraries
from attnimg.datasets.masks import read_class_table
from attnimg.errors import AttnimgError, UsageError
from attnimg.models.checkpoints import read_header
from attnimg.models.device import choose_precision
from attnimg.training.log import Log
from attnimg.training.loop import LAST, LOG
from attnimg.training.recipe import Recipe, load_recipe
from attnimg.training.run import RECIPE, Options
from attnimg.training.tasks.classify import CLASSIFY
from attnimg.training.tasks.segment import SEGMENT
from attnimg.training.trainer import Trainer
from attnimg.training.trainer import train as train_net


@dataclass(frozen=True)
class Comparison:
    """A task to train, and the mechanisms to leave out of its net.

    size: side of the images from the first epoch on; None: the recipe's. validation: part of the data set. score:
    column of the log, a fraction. mechanisms: by name, the recipe's field that chooses each.
    """

    trainer: Trainer[Any]
    recipe: str
    epochs: int
    size: int | None
    validation: str
    score: str
    mechanisms: dict[str, str]


COMPARISONS = {
    "classify": Comparison(
        CLASSIFY,
        recipe="objects-cpu",
        epochs=12,
        size=None,
        validation="held-out",
        score="top1",
        mechanisms={
            "channel attention": "net.backbone.channel_attention",
            "self-attention": "net.backbone.spatial_attention",
            "attention pooling": "net.pooling",
        },
    ),
    "segment": Comparison(
        SEGMENT,
        recipe="street-cpu",
        epochs=3,
        size=160,
        validation="val",
        score="miou",
        mechanisms={"self-attention": "net.backbone.spatial_attention", "focus": "net.focus", "gates": "net.gate"},
    ),
}
WITH, WITHOUT = "with attention", "no attention"


@dataclass(frozen=True)
class Trained:
    """The result of a run. score: in percent."""

    score: float
    parameters: int
    seconds: float


def take_classes(data: Path, count: int, folder: Path) -> Path:
    """Link every k-th class of a data set into a smaller one."""
    classes = json.loads((data / "classes.json").read_text())
    chosen = classes[:: len(classes) // count][:count]
    for part in ("train", "held-out"):
        (folder / part).mkdir(parents=True)
        for c in chosen:
            (folder / part / c["id"]).symlink_to((data / part / c["id"]).resolve())
    (folder / "classes.json").write_text(json.dumps(chosen))
    return folder


def change(config: Any, path: str, value: Any) -> Any:
    """Return a configuration whose field at a dotted path is `value`."""
    field, _, rest = path.partition(".")
    return replace(config, **{field: change(getattr(config, field), rest, value) if rest else value})


def make_variants(recipe: Recipe, mechanisms: dict[str, str]) -> dict[str, Recipe]:
    """Return the recipe as it is, without each mechanism, with each alone, and without any."""

    def without(names: Collection[str]) -> Recipe:
        left: Recipe = reduce(lambda config, name: change(config, mechanisms[name], "none"), names, recipe)
        return left

    return {
        WITH: recipe,
        **{f"no {name}": without([name]) for name in mechanisms},
        **{f"{name} alone": without(mechanisms.keys() - {name}) for name in mechanisms},
        WITHOUT: without(mechanisms),
    }


def train(comparison: Comparison, recipe: Recipe, data: Path, folder: Path) -> Trained:
    """Train in `folder`, or resume there, unless its weight file exists already."""
    weights = folder / f"{folder.name}.safetensors"
    if not weights.is_file():
        resume = (folder / LAST).is_file()
        options = Options(validation=data / comparison.validation, device="cpu", resume=resume)
        train_net(comparison.trainer, recipe, data, folder, options=options)
        for left in set(folder.iterdir()) - {weights, folder / LOG, folder / RECIPE}:
            left.unlink()  # decoded images and states: hundreds of megabytes a run
    elif load_recipe(str(folder / RECIPE), type(recipe)) != recipe:
        raise UsageError(f"{folder} holds a run with other settings. Name another folder with -o.")
    last = Log(folder / LOG).read()[-1]
    parameters = read_header(weights)["parameters"]
    return Trained(100 * float(last[comparison.score]), parameters, float(last["seconds"]))


def print_table(results: dict[str, list[Trained]], score: str) -> None:
    """Print a row per variant."""
    print(f"\n{'':24}{score + ', %':>14}{'parameters':>12}{'s a run':>9}   each seed")
    for name, runs in results.items():
        scores = [run.score for run in runs]
        spread = f"+- {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
        seconds = statistics.mean(run.seconds for run in runs)
        each = " ".join(f"{s:.1f}" for s in scores)
        mean = f"{statistics.mean(scores):.1f} {spread}"
        print(f"{name:24}{mean:>14}{runs[0].parameters:12,}{seconds:9.0f}   {each}")


def run(comparison: Comparison, args: argparse.Namespace, data: Path, classes: int) -> None:
    """Train every variant with every seed, and print the table."""
    usual: Any = load_recipe(args.recipe or comparison.recipe, comparison.trainer.recipe)
    recipe = replace(usual, epochs=args.epochs or comparison.epochs)
    if size := args.size or comparison.size:
        span = round(usual.net.backbone.span * size / usual.size)  # the same share of a crop as usually
        recipe = change(replace(recipe, size=size, start_size=size), "net.backbone.span", span)
    precision = choose_precision(recipe.precision, torch.device("cpu"), training=True)
    recipe = replace(recipe, net=replace(recipe.net, classes=classes), precision=precision)  # as a run writes it
    variants = make_variants(recipe, comparison.mechanisms)
    if unknown := set(args.only) - variants.keys():
        raise UsageError(f"There is no variant {unknown.pop()!r}. Name some of: {', '.join(variants)}.")
    results: dict[str, list[Trained]] = {name: [] for name in args.only}
    for seed in range(args.seeds):
        for name, runs in results.items():
            folder = args.output / f"{name.replace(' ', '-')}-{seed}"
            runs.append(train(comparison, replace(variants[name], seed=seed), data, folder))
            print(f"{folder.name:26}{comparison.score} {runs[-1].score:5.1f} %, {runs[-1].seconds:.0f} s", flush=True)
    print_table(results, comparison.score)


def main() -> None:
    """Run the comparison for one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=COMPARISONS)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUNS", help="folder of the runs")
    parser.add_argument("--only", nargs="+", default=[WITH, WITHOUT], metavar="VARIANT", help="default: all, and none")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", help="name or path; default: the one for CPUs")
    parser.add_argument("--epochs", type=int, help="default: 12 to classify, 3 to segment")
    parser.add_argument("--size", type=int, help="of the images in training; default: the recipe's, 160 to segment")
    parser.add_argument("--classes", type=int, default=20, help="classes to classify (default: 20)")
    args = parser.parse_args()
    comparison = COMPARISONS[args.task]
    set_up_libraries()
    try:
        if args.task == "segment":
            run(comparison, args, args.data, len(read_class_table(args.data).classes))
        else:
            with TemporaryDirectory() as folder:
                run(comparison, args, take_classes(args.data, args.classes, Path(folder) / "data"), args.classes)
    except AttnimgError as error:
        parser.exit(2, f"attention.py: {error}\n")


if __name__ == "__main__":
    main()
