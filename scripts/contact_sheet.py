"""Draw docs/enhance.jpg: samples, darkened as by a camera at night, beside the copies that `night` enhanced.

    python scripts/contact_sheet.py [--model night] [--output docs/enhance.jpg]

The low light is simulated (`attnimg.training.low_light`, a fixed seed for each photo), and the captions say so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import attnimg
from attnimg.drawing.write import write_drawing
from attnimg.files.find import find
from attnimg.files.outputs import Output
from attnimg.images.read import read
from attnimg.predictors.enhance import Enhancer
from attnimg.training.low_light import simulate_low_light
from attnimg.training.recipe import LowLight

ROOT = Path(__file__).parent.parent
PAIRS, COLUMNS = 8, 2
CELL = (300, 200)  # width, height of one photo
GAP, LINE = 8, 22  # pixels between pairs, height of a line of text
NIGHT = LowLight(exposure=(0.015, 0.06))


def make_pair(path: str, photo: NDArray[np.uint8], enhancer: Enhancer, seed: int) -> NDArray[np.uint8]:
    """Return a darkened photo beside its enhanced version, above a caption."""
    torch.manual_seed(seed)
    light = torch.from_numpy(photo.astype(np.float32) / 255).permute(2, 0, 1)[None]
    dark = np.asarray(simulate_low_light(light, NIGHT)[0].permute(1, 2, 0).mul(255).round().byte())
    cells = [crop_cell(dark), crop_cell(enhancer(dark))]
    text = np.full((LINE, 2 * CELL[0], 3), 255, np.uint8)
    words = f"{Path(path).stem}: darkened copy, enhanced"
    cv2.putText(text, words, (4, LINE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (60, 60, 60), 1, cv2.LINE_AA)
    return np.vstack([np.hstack(cells), text])


def crop_cell(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut a photo to the cell's shape from its center and scale it down."""
    height, width = photo.shape[:2]
    scale = min(width / CELL[0], height / CELL[1])
    w, h = round(CELL[0] * scale), round(CELL[1] * scale)
    top, left = (height - h) // 2, (width - w) // 2
    part = photo[top : top + h, left : left + w]
    return np.asarray(cv2.resize(part, CELL, interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC), np.uint8)


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="night")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "enhance.jpg")
    args = parser.parse_args()
    enhancer = attnimg.load("enhance", model=args.model, device="cpu")
    sources = list(find([ROOT / "samples"]))[:PAIRS]
    pairs = [make_pair(s.path, read(s).pixels, enhancer, seed) for seed, s in enumerate(sources)]
    gap = np.full((len(pairs[0]), GAP, 3), 255, np.uint8)
    rows = [np.hstack([pairs[i], gap, pairs[i + 1]]) for i in range(0, PAIRS, COLUMNS)]
    write_drawing(Output(args.output, replace=True), np.vstack(rows))


if __name__ == "__main__":
    main()
