"""Does attention earn its keep? The same net, recipe and budget with and without it, over several seeds.

    python benchmarks/attention.py classify DATA -o RUNS    DATA as scripts/arrange_tiny_imagenet.py makes it
    python benchmarks/attention.py segment DATA -o RUNS     DATA as `attnimg train segment` takes it

Prints a line per run and, at the end, a table: of each variant the score on the validation images after the last
epoch, as mean, standard deviation and each seed's; the net's parameters; and the seconds that the training steps took.
All variants have a seed before the next one begins, so that other work on the machine slows them alike. RUNS takes a
folder per run: one that holds its weight file is not trained again, and one that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from attnimg.training.tasks.train_classifier import train_classifier
from attnimg.training.tasks.train_segmenter import train_segmenter

from attnimg.datasets.masks import read_class_table
from attnimg.errors import AttnimgError, UsageError
from attnimg.models import checkpoints
from attnimg.training.log import Log
from attnimg.training.loop import LAST, LOG
from attnimg.training.precision import choose_precision
from attnimg.training.recipe import ClassifyRecipe, Recipe, SegmentRecipe, load_recipe
from attnimg.training.run import RECIPE


@dataclass(frozen=True)
class Question:
    """What is trained, and what is left out of it.

    size: side of the images from the first epoch on; None: the recipe's. validation: part of the data set. score:
    column of the log, a fraction. mechanisms: where the recipe says which one is used.
    """

    kind: type[Recipe]
    train: Callable[..., Path | None]
    recipe: str
    epochs: int
    size: int | None
    validation: str
    score: str
    mechanisms: dict[str, str]


QUESTIONS = {
    "classify": Question(
        ClassifyRecipe,
        train_classifier,
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
    "segment": Question(
        SegmentRecipe,
        train_segmenter,
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
    """What became of a run. score: in percent."""

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


def train(question: Question, recipe: Recipe, data: Path, folder: Path) -> Trained:
    """Train in `folder`, or go on there, unless its weight file tells that it is done."""
    weights = folder / f"{folder.name}.safetensors"
    if not weights.is_file():
        resume = (folder / LAST).is_file()
        question.train(recipe, data, folder, validation=data / question.validation, device="cpu", resume=resume)
        for left in set(folder.iterdir()) - {weights, folder / LOG, folder / RECIPE}:
            left.unlink()  # decoded images and states: hundreds of megabytes a run
    elif load_recipe(str(folder / RECIPE), type(recipe)) != recipe:
        raise UsageError(f"{folder} holds a run with other settings. Name another folder with -o.")
    last = Log(folder / LOG).read()[-1]
    parameters = checkpoints.read_header(weights)["parameters"]
    return Trained(100 * float(last[question.score]), parameters, float(last["seconds"]))


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


def ask(question: Question, args: argparse.Namespace, data: Path, classes: int) -> None:
    """Train every variant with every seed and print the table."""
    usual: Any = load_recipe(args.recipe or question.recipe, question.kind)
    recipe = replace(usual, epochs=args.epochs or question.epochs)
    if size := args.size or question.size:
        span = round(usual.net.backbone.span * size / usual.size)  # as much wider than a crop as it is usually
        recipe = change(replace(recipe, size=size, start_size=size), "net.backbone.span", span)
    precision = choose_precision(recipe.precision, torch.device("cpu"))
    recipe = replace(recipe, net=replace(recipe.net, classes=classes), precision=precision)  # as a run keeps it
    variants = make_variants(recipe, question.mechanisms)
    if unknown := set(args.only) - variants.keys():
        raise UsageError(f"There is no variant {unknown.pop()!r}. Name some of: {', '.join(variants)}.")
    results: dict[str, list[Trained]] = {name: [] for name in args.only}
    for seed in range(args.seeds):
        for name, runs in results.items():
            folder = args.output / f"{name.replace(' ', '-')}-{seed}"
            runs.append(train(question, replace(variants[name], seed=seed), data, folder))
            print(f"{folder.name:26}{question.score} {runs[-1].score:5.1f} %, {runs[-1].seconds:.0f} s", flush=True)
    print_table(results, question.score)


def main() -> None:
    """Ask the question of one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=QUESTIONS)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUNS", help="folder of the runs")
    parser.add_argument("--only", nargs="+", default=[WITH, WITHOUT], metavar="VARIANT", help="default: all or nothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", help="name or path; default: the one for CPUs")
    parser.add_argument("--epochs", type=int, help="default: 12 to classify, 3 to segment")
    parser.add_argument("--size", type=int, help="of the images in training; default: the recipe's, 160 to segment")
    parser.add_argument("--classes", type=int, default=20, help="classes to classify (default: 20)")
    args = parser.parse_args()
    question = QUESTIONS[args.task]
    try:
        if args.task == "segment":
            ask(question, args, args.data, len(read_class_table(args.data).classes))
        else:
            with TemporaryDirectory() as folder:
                ask(question, args, take_classes(args.data, args.classes, Path(folder) / "data"), args.classes)
    except AttnimgError as error:
        parser.exit(2, f"attention.py: {error}\n")


if __name__ == "__main__":
    main()
