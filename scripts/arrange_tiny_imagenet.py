"""Arrange Tiny ImageNet 200 in the layout that `attnimg train classify` reads.

    python scripts/arrange_tiny_imagenet.py tiny-imagenet-200 DATA

    tiny-imagenet-200/                        DATA/
      train/<id>/images/*.JPEG                  train/<id>/*.JPEG      450 of a class's 500 images
      val/images/*.JPEG                         held-out/<id>/*.JPEG   the other 50, by seeded choice
      val/val_annotations.txt                   val/<id>/*.JPEG        the validation set, as it is
      wnids.txt, words.txt                      classes.json           [{"id", "label"}, ...], sorted by id

`held-out` is for tuning, early stopping and the temperature, so that `val` is used only once, at the end. The data set
is Stanford's (CS231n, 2015), from http://cs231n.stanford.edu/tiny-imagenet-200.zip; ids are WordNet's.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

PLACE: dict[str, Callable[[Path, Path], object]] = {
    "symlink": lambda source, target: target.symlink_to(source),
    "hardlink": lambda source, target: target.hardlink_to(source),
    "copy": shutil.copyfile,
}
"""Ways to give an image its new name."""


def read_classes(source: Path) -> list[dict[str, str]]:
    """Return the id of each class and its first name in WordNet, sorted by id."""
    names = dict(line.split("\t") for line in (source / "words.txt").read_text().splitlines())
    ids = sorted((source / "wnids.txt").read_text().split())
    classes = [{"id": wnid, "label": names[wnid].split(",")[0].strip()} for wnid in ids]
    shared = [label for label, count in Counter(each["label"] for each in classes).items() if count > 1]
    if shared:
        raise SystemExit(f"Several classes are called {', '.join(shared)}. Give them different names in words.txt.")
    return classes


def choose_places(source: Path, ids: list[str], held_out: int, seed: int) -> dict[Path, Path]:
    """Return the images by their paths below DATA. The choice depends only on the seed, not on the machine."""
    random = Random(seed)
    places: dict[Path, Path] = {}
    for wnid in ids:
        images = sorted((source / "train" / wnid / "images").iterdir())
        if len(images) <= held_out:
            raise SystemExit(f"{wnid} has {len(images)} training images: too few to hold {held_out} out.")
        held = set(random.sample(images, held_out))
        for image in images:
            places[Path("held-out" if image in held else "train", wnid, image.name)] = image
    for line in (source / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid, *_box = line.split("\t")
        places[Path("val", wnid, name)] = source / "val" / "images" / name
    return places


def arrange(source: Path, data: Path, *, held_out: int, seed: int, place: Callable[[Path, Path], object]) -> None:
    """Make the folder `data`, which must not exist yet."""
    if data.exists():
        raise SystemExit(f"{data} exists already. Name a new folder, so that no two data sets mix.")
    if not (source / "wnids.txt").is_file():
        raise SystemExit(f"{source} holds no wnids.txt. Name the folder to which the data set's archive was unpacked.")
    source = source.resolve()  # targets of symbolic links must not be relative
    classes = read_classes(source)
    places = choose_places(source, [each["id"] for each in classes], held_out, seed)
    for folder in {path.parent for path in places}:
        (data / folder).mkdir(parents=True)
    for path, image in places.items():
        place(image, data / path)
    (data / "classes.json").write_text(json.dumps(classes, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="the unpacked tiny-imagenet-200")
    parser.add_argument("data", type=Path, help="the folder to make")
    parser.add_argument("--by", choices=PLACE, default="symlink", help="how images are placed (default: symlink)")
    parser.add_argument("--held-out", type=int, default=50, help="images of each class to hold out of train")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of held-out images")
    given = parser.parse_args()
    arrange(given.source, given.data, held_out=given.held_out, seed=given.seed, place=PLACE[given.by])
