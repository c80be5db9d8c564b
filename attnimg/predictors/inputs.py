"""Inputs of the Python API: PIL images and RGB arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from attnimg.images.pixels import Pixels

ImageLike = Image.Image | Pixels


def apply(work: Callable[[list[Pixels]], Sequence[Any]], images: ImageLike | Sequence[ImageLike]) -> Any:
    """Call `work` with the arrays H x W x 3 of one image or of a list; return its single result, or the list of them.

    images: PIL images, rotated by their EXIF orientation, or RGB arrays H x W x 3, uint8 or uint16. TypeError,
    ValueError: an input is not an image; `work` was not called.
    """
    if isinstance(images, Image.Image | np.ndarray):
        return apply(work, [images])[0]
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        images = [images]  # to be refused below
    return work([_to_pixels(image) for image in images])


def _to_pixels(image: Any) -> Pixels:
    """Return the pixels of an image, H x W x 3, uint8 or uint16."""
    if isinstance(image, str | bytes | Path):
        raise TypeError("a path is not an image; open it with PIL.Image.open")
    if isinstance(image, Image.Image):
        if image.mode.startswith(("I", "F")):  # Pillow would clip these at 255
            raise TypeError(
                f"a PIL image of mode {image.mode} does not have 8 bits per channel; "
                "convert it to an RGB array, H x W x 3, uint8 or uint16"
            )
        image = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"an image must be a PIL image or an RGB array, H x W x 3, uint8 or uint16, not {type(image).__name__}"
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise TypeError(
            f"an image array must be uint8, 0 to 255, or uint16, 0 to 65535, not {image.dtype}; "
            "convert floats in [0, 1] by (255 * array).round().astype('uint8')"
        )
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"an image array must be RGB, H x W x 3, but its shape is {image.shape}; "
            "convert gray by np.dstack([array] * 3), RGBA by array[..., :3]"
        )
    if not image.size:
        raise ValueError(f"an image array must not be empty, but its shape is {image.shape}")
    return image
