"""Small data that the tests make."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("OMP_NUM_THREADS", "2")


def make_classes(root: Path, per_class: int = 24, size: int = 32, seed: int = 0) -> Path:
    """Write DATA/train and DATA/val of three classes that differ by colour, as PNG."""
    rng = np.random.default_rng(seed)
    for part, count in (("train", per_class), ("val", 8)):
        for channel, name in enumerate(["blue_sky", "grass", "rose"]):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 120, (size, size, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 100
                Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return root


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of three classes by colour; read only."""
    return make_classes(tmp_path_factory.mktemp("classes"))
