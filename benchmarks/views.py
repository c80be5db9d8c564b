"""Compare ways to make the net's square input from photos that are not square, on bands of labeled images.

python benchmarks/views.py DATA [--every 1]

DATA/val holds a folder per class. From each image the middle band of 3:2 is cut, alternately in landscape and portrait
format. It is classified by its center square (`--views 1`), by several squares whose scores are averaged (`--views N`),
and squeezed into a square as a whole. Prints the top-1 of each, and that of the uncut squares for comparison.
"""

from __future__ import annotations

import argparse
from pathlib import Path, PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from attnimg.datasets.classes import find_examples
from attnimg.files.source import Source
from attnimg.images.read import read
from attnimg.predictors.classify import Classifier, load_classifier


def cut_band(pixels: NDArray[np.uint8], portrait: bool) -> NDArray[np.uint8]:
    """Return the middle two thirds of a square image, in portrait or landscape format."""
    edge = round(len(pixels) / 6)
    return pixels[:, edge:-edge] if portrait else pixels[edge:-edge]


def top1(classifier: Classifier, images: list[NDArray[np.uint8]], classes: tuple[int, ...]) -> float:
    """Return the share of images whose best label is correct, in percent."""
    right = 0
    for start in range(0, len(images), 250):
        scores = classifier.predict([classifier.prepare(p) for p in images[start : start + 250]])
        right += sum(int(s.probabilities.argmax()) == c for s, c in zip(scores, classes[start:], strict=False))
    return 100 * right / len(images)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="objects")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image")
    args = parser.parse_args()
    classifiers = {views: load_classifier(args.model, device="cpu", views=views) for views in (1, 2, 3, 5)}
    one = classifiers[1]
    examples = find_examples(args.data / "val", one.classes)
    squares = [read(Source(f, PurePath(f))).pixels for f in examples.files[:: args.every]]
    classes = examples.classes[:: args.every]
    bands = [cut_band(p, portrait=i % 2 == 0) for i, p in enumerate(squares)]
    print(f"{len(squares)} images, top-1 in %")
    print(f"uncut squares             {top1(one, squares, classes):5.1f}")
    for views, classifier in classifiers.items():
        print(f"bands of 3:2, --views {views}   {top1(classifier, bands, classes):5.1f}")
    squeezed = [cv2.resize(p, (one.shortest, one.shortest), interpolation=cv2.INTER_AREA) for p in bands]
    print(f"bands of 3:2, squeezed    {top1(one, squeezed, classes):5.1f}")


if __name__ == "__main__":
    main()
