"""Does attention earn its keep? The same net, recipe and budget with and without it, over several seeds.

python benchmarks/attention.py DATA [--classes 20] [--epochs 12] [--seeds 3] [--recipe objects-cpu]

DATA is a folder-per-class data set with `train/` and `held-out/` (scripts/arrange_tiny_imagenet.py makes one); every
k-th class of it is taken. Prints top-1 of the last epoch on the held-out images for each variant: mean, standard
deviation, and each seed.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from attnimg.training.recipe import ClassifyRecipe, load_recipe
from attnimg.training.train_classifier import train_classifier


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


def variants(recipe: ClassifyRecipe) -> dict[str, ClassifyRecipe]:
    """Return the recipe as it is, and with each kind of attention left out."""
    net, backbone = recipe.net, recipe.net.backbone
    bare = replace(backbone, channel_attention="none", spatial_attention="none")
    nets = {
        "with attention": net,
        "no channel attention": replace(net, backbone=replace(backbone, channel_attention="none")),
        "no self-attention": replace(net, backbone=replace(backbone, spatial_attention="none")),
        "mean pooling": replace(net, pooling="none"),
        "no attention": replace(net, backbone=bare, pooling="none"),
    }
    return {name: replace(recipe, net=n) for name, n in nets.items()}


def main() -> None:
    """Train every variant with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipe", default="objects-cpu")
    parser.add_argument("--only", nargs="*", default=["with attention", "no attention"], help="variants to train")
    args = parser.parse_args()
    recipe = load_recipe(args.recipe, ClassifyRecipe, epochs=args.epochs)
    with tempfile.TemporaryDirectory() as folder:
        data = take_classes(args.data, args.classes, Path(folder) / "data")
        for name, variant in variants(recipe).items():
            if args.only and name not in args.only:
                continue
            scores, started = [], time.monotonic()
            for seed in range(args.seeds):
                run = Path(folder) / f"{name}-{seed}"
                seeded = replace(variant, seed=seed)
                train_classifier(seeded, data, run, validation=data / "held-out", device="cpu")
                with (run / "log.csv").open() as log:
                    scores.append(100 * float(list(csv.DictReader(log))[-1]["top1"]))
            each = " ".join(f"{s:.1f}" for s in scores)
            spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
            seconds = (time.monotonic() - started) / args.seeds
            mean = statistics.mean(scores)
            print(f"{name:22} top-1 {mean:5.1f} +- {spread:.1f} %   ({each})   {seconds:.0f} s a run", flush=True)


if __name__ == "__main__":
    main()
