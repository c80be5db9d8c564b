"""Photos of noise, and a file that claims to be huge."""

from __future__ import annotations

import zlib

import numpy as np
from PIL import Image

from helpers.containers import png


def photo(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8))


def bomb() -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    return png(40_000, 40_000, zlib.compress(bytes(64)))
