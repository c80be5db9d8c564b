"""What the Python API takes for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from attnimg.images.pixels import Pixels

ImageLike = Image.Image | Pixels


def apply(work: Callable[[list[Pixels]], Sequence[Any]], images: ImageLike | Sequence[ImageLike]) -> Any:
    """Give `work` the arrays H x W x 3 of one picture or of a list; return its one result, or all of them.

    images: PIL images, taken upright as their EXIF says, or RGB arrays H x W x 3, uint8 or uint16. TypeError,
    ValueError: what is no picture, before `work` sees any.
    """
    if isinstance(images, Image.Image | np.ndarray):
        return apply(work, [images])[0]
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        images = [images]  # to be refused below
    return work([_take(picture) for picture in images])


def _take(picture: Any) -> Pixels:
    """Return the pixels of a picture, H x W x 3, uint8 or uint16."""
    if isinstance(picture, str | bytes | Path):
        raise TypeError("a path is no image; open it with PIL.Image.open")
    if isinstance(picture, Image.Image):
        if picture.mode.startswith(("I", "F")):  # which Pillow would cut off at 255
            raise TypeError(
                f"a PIL image of mode {picture.mode} has no 8 bits; make it an RGB array, H x W x 3, uint8 or uint16"
            )
        picture = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    if not isinstance(picture, np.ndarray):
        raise TypeError(
            f"a picture is a PIL image or an RGB array, H x W x 3, uint8 or uint16; {type(picture).__name__} is neither"
        )
    if picture.dtype not in (np.uint8, np.uint16):
        raise TypeError(
            f"a picture's array is of uint8, 0 to 255, or uint16, 0 to 65535, and not of {picture.dtype}; "
            "of floats in [0, 1] make (255 * array).round().astype('uint8')"
        )
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"a picture's array is RGB, H x W x 3, and this one's shape is {picture.shape}; "
            "of gray make np.dstack([array] * 3), of RGBA array[..., :3]"
        )
    if not picture.size:
        raise ValueError(f"a picture has pixels, and this array's shape, {picture.shape}, has none")
    return picture
