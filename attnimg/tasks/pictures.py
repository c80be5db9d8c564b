"""What the Python API takes for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from attnimg.images.picture import Pixels

Picture = Image.Image | Pixels


def apply(work: Callable[[list[Pixels]], Sequence[Any]], images: Picture | Sequence[Picture]) -> Any:
    """Give `work` the arrays H x W x 3 of one picture or of a list; return its one result, or all of them.

    images: PIL images, or RGB arrays H x W x 3. TypeError: a path.
    """
    if isinstance(images, str | Path):
        raise TypeError("a path is no image; open it with PIL.Image.open")
    if isinstance(images, Image.Image | np.ndarray):
        return apply(work, [images])[0]
    return work([np.asarray(p.convert("RGB") if isinstance(p, Image.Image) else p) for p in images])
