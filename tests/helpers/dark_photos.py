"""Dark photos, what becomes of them, and how far that is apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attnimg.images.pixels import Pixels
from attnimg.predictors.enhance import Enhancer
from attnimg.predictors.restorer import Settings

FORMATS = {"a.JPG": "JPEG", "b.jpeg": "JPEG", "c.webp": "WEBP", "d.TIFF": "TIFF", "e.bmp": "BMP", "sub/f.png": "PNG"}
LONG_AGO = 1_234_567_890.25


def photo(height: int, width: int, seed: int = 0, light: float = 0.4, noise: float = 3) -> NDArray[np.uint8]:
    """Return a dark photo of waves with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 23 + seed), np.cos(y / 31), np.sin((x + y) / 47)], -1)
    return np.clip(light * (120 + 100 * waves) + rng.normal(0, noise, (height, width, 3)), 0, 255).astype(np.uint8)


def dark(seed: int = 0, width: int = 56, height: int = 40) -> Image.Image:
    """Return a darker one for Pillow to save."""
    return Image.fromarray(photo(height, width, seed, light=0.2, noise=2))


def difference(a: Pixels, b: Pixels) -> int:
    """Return the largest, in codes."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def enhance(enhancer: Enhancer, pixels: Pixels, **settings: Any) -> Pixels:
    result: Pixels = enhancer(pixels, Settings(**settings))
    assert result.shape == pixels.shape
    assert result.dtype == pixels.dtype
    return result


def enhance_by(size: int, enhancer: Enhancer, photos: list[NDArray[np.uint8]]) -> list[tuple[Pixels, Pixels]]:
    """Enhance photos, `size` at a time; what becomes of each, and what its exposure was judged by."""
    prepared = [enhancer.prepare(p) for p in photos]
    parts = [prepared[i : i + size] for i in range(0, len(prepared), size)]
    found = [r for part in parts for r in enhancer.predict(part, attention=True)]
    return [(r.pixels, r.attention) for r in found if r.attention is not None]
