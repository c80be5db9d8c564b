"""Small data sets of each task, with parts train and val, and arrays kept as training keeps what it has decoded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attnimg.datasets.masks import ClassTable
from attnimg.labels import SegmentClass

COLORS = {"sky": [120, 160, 230], "road": [90, 90, 90], "car": [200, 40, 30]}
TABLE = ClassTable(tuple(SegmentClass(i, n, tuple(c)) for i, (n, c) in enumerate(COLORS.items())), 3)
"""The classes of scenes."""


def make_classes(root: Path, per_class: int = 24, size: int = 32, seed: int = 0) -> Path:
    """Write images of three classes that differ by color."""
    rng = np.random.default_rng(seed)
    for part, count in (("train", per_class), ("val", 8)):
        for channel, name in enumerate(["blue_sky", "grass", "rose"]):
            for i in range(count):
                pixels = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 100
                save(root / part / name / f"{i:03}.png", pixels)
    return root


def make_pairs(root: Path, count: int = 6, size: tuple[int, int] = (64, 80), seed: int = 0) -> Path:
    """Write pairs of discs and bars of all colors, and the same at an eighth of the codes, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    for part, photos in (("train", count), ("val", 2)):
        for i in range(photos):
            bright = np.full((*size, 3), rng.uniform(60, 200, 3))
            for _ in range(6):
                cy, cx, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(5, 25)
                shape = np.hypot(y - cy, x - cx) < radius if rng.random() < 0.5 else np.abs(x - cx) < radius / 3
                bright[shape] = rng.uniform(20, 250, 3)
            dark = bright / 8 + rng.normal(0, 1.5, bright.shape)
            save(root / part / "normal" / f"{i:02}.png", np.rint(bright))
            save(root / part / "low" / f"{i:02}.png", np.rint(dark))
    return root


def make_scenes(root: Path, count: int = 6, size: tuple[int, int] = (64, 80), seed: int = 0) -> Path:
    """Write scenes of sky above road and a car before it, with noise, whose masks have a void border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    for part, photos in (("train", count), ("val", 2)):
        for i in range(photos):
            mask = (y > size[0] * rng.uniform(0.3, 0.7)).astype(np.uint8)
            mask[np.hypot(y - rng.uniform(20, 50), x - rng.uniform(20, 60)) < rng.uniform(8, 18)] = 2
            pixels = np.array(list(COLORS.values()))[mask] + rng.normal(0, 15, (*size, 3))
            save(root / part / "images" / f"{i:02}.png", pixels)
            mask[:2] = 3
            save(root / part / "masks" / f"{i:02}.png", mask)
    table = {"classes": list(COLORS), "colors": list(COLORS.values()), "void": 3}
    (root / "classes.json").write_text(json.dumps(table))
    return root


def save(path: Path, pixels: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
