"""Low-light enhancement: dark photos of any size to bright ones of the same size and bit depth, and attention maps.

The net estimates the exposure from a thumbnail of the whole photo, and restores the photo in tiles, each with a margin.
So memory is bounded by the tile, and no seam shows. On a device with less memory, tiles become smaller.

On the CPU each photo is processed alone. Sums in another order would change some pixels by one code, so that a result
would depend on the other photos in its batch, and in a resumed run on the point of interruption. Other devices take
photos of one shape together, as a small photo leaves most of such a device idle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnimg.images.pixels import Pixels
from attnimg.models.load import load
from attnimg.nets.enhancer.net import EnhancerNet
from attnimg.predictors.exposure import make_thumbnail
from attnimg.predictors.inputs import ImageLike, apply
from attnimg.predictors.restorer import DEFAULTS, Restorer, Settings, TwoStageRestorer

TILES = {"cpu": 1024, "cuda": 2048}  # side in pixels, by device type
SMALLEST_TILE = 128  # pixels; smaller tiles would be nearly all margin
BATCHING_DEVICES = frozenset({"cuda", "mps"})  # device types that take photos of one shape together


@dataclass(frozen=True)
class Prepared:
    """A photo that was preprocessed on the host.

    pixels: H x W x 3, uint8 or uint16. thumbnail: of the whole photo, S x S x 6 float32, see `make_thumbnail`.
    """

    pixels: Pixels
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True)
class Restored:
    """An enhanced photo.

    pixels: of the photo's shape and type. attention: map of the exposure estimation over the photo, G x G float32 in
    [0, 1] with 0.5 for uniform attention; None if not requested, or if the model has none.
    """

    pixels: Pixels
    attention: NDArray[np.float32] | None


class Enhancer:
    """Enhances photos.

    net, header: of a `models.sources.Model`. device, precision: see `models.device`. tile: side of the tiles of larger
    photos, in pixels; a batch of smaller photos has at most as many pixels as a tile; None: by the device. When the
    device runs out of memory, it is halved for all later photos too, down to `SMALLEST_TILE`. batching: device types
    that take photos of one shape together.
    """

    def __init__(
        self,
        net: EnhancerNet,
        header: Mapping[str, Any],
        *,
        model: str,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        batching: frozenset[str] = BATCHING_DEVICES,
    ) -> None:
        self.model = model
        self.restorer: Restorer[Any] = TwoStageRestorer(net, header, device=device, precision=precision)
        self._batches = self.restorer.device in batching
        self.tile = self._round_up(tile or TILES.get(self.restorer.device, TILES["cpu"]))

    def __call__(self, images: ImageLike | Sequence[ImageLike], settings: Settings = DEFAULTS) -> Any:
        """Enhance one photo or a list of them: PIL images or RGB arrays H x W x 3, uint8 or uint16.

        Returns arrays of the photos' shape and depth. ValueError, TypeError: anything else.
        """

        def work(arrays: list[Pixels]) -> list[Pixels]:
            return [self.predict([self.prepare(a)], settings)[0].pixels for a in arrays]

        return apply(work, images)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Make the thumbnail of a photo, H x W x 3, on the host. Thread-safe."""
        return Prepared(pixels, make_thumbnail(pixels, self.restorer.size))

    def predict(
        self, prepared: Sequence[Prepared], settings: Settings = DEFAULTS, *, attention: bool = False
    ) -> list[Restored]:
        """Enhance photos of one shape. MemoryError: the device has too little memory.

        On the CPU a photo's result does not depend on the other photos, to the bit; elsewhere it may, slightly.
        """
        parts = [prepared] if self._batches else [[one] for one in prepared]
        return [restored for part in parts if part for restored in self._predict(part, settings, attention)]

    def _predict(self, prepared: Sequence[Prepared], settings: Settings, attention: bool) -> list[Restored]:
        thumbnails = np.stack([p.thumbnail for p in prepared])
        estimate, maps = self.restorer.estimate(thumbnails, settings, attention=attention)
        photos = self.restore([p.pixels for p in prepared], estimate, settings)
        return [Restored(pixels, None if maps is None else maps[i]) for i, pixels in enumerate(photos)]

    def restore(self, photos: Sequence[Pixels], estimate: Any, settings: Settings) -> list[Pixels]:
        """Enhance photos of one shape, H x W x 3, tile by tile. estimate: the restorer's, for all of them.

        MemoryError: the device has too little memory for the smallest tiles.
        """
        height, width = photos[0].shape[:2]
        found: list[Pixels] = []
        while len(found) < len(photos):
            at_once = max(1, self.tile**2 // (height * width))
            part = slice(len(found), len(found) + at_once)
            pixels = np.stack(photos[part]) if at_once > 1 else photos[part.start][None]
            out = np.empty_like(pixels)
            if self._fill(out, pixels, self.restorer.select(estimate, part), settings):
                found += list(out)
            else:
                del out  # before another one is allocated
                self.tile = max(SMALLEST_TILE, self._round_up(-(-self.tile // 2)))
        return found

    def _fill(self, out: Pixels, pixels: Pixels, estimate: Any, settings: Settings) -> bool:
        """Enhance photos N x H x W x 3 into `out`; return False if the tile exceeds the memory and can be halved."""
        size = (pixels.shape[1], pixels.shape[2])
        try:
            for inner, outer in tiles(size, self.tile, self.restorer.margin):
                part = pixels[:, *outer].copy()  # contiguous, and writable for torch
                origin = outer[0].start, outer[1].start
                tile = self.restorer.restore(part, estimate, origin, size, settings)
                own = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
                out[:, *inner] = tile[:, *own]
        except MemoryError:  # its traceback keeps the tensors alive until this function returns
            if self.tile <= SMALLEST_TILE:
                raise
            return False
        return True

    def _round_up(self, side: int) -> int:
        return -(-side // self.restorer.multiple) * self.restorer.multiple


def load_enhancer(
    model: str | None = None, *, device: str = "auto", precision: str = "auto", tile: int | None = None
) -> Enhancer:
    """Build the enhancer of a model's name or path; None: the shipped model. Raises Unavailable."""
    enhancer: Enhancer = load("enhance", model, device=device, precision=precision, tile=tile)
    return enhancer


def tiles(size: tuple[int, int], tile: int, margin: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Yield (rows, columns) of each tile, without and with its margin, which is clipped at the photo's border.

    size: height and width of the photo. If tile and margin are multiples of the restorer's `multiple`, the net's grid
    is the same as for the whole photo.
    """
    for rows, columns in product(*(_spans(side, tile, margin) for side in size)):
        yield (rows[0], columns[0]), (rows[1], columns[1])


def _spans(length: int, tile: int, margin: int) -> Iterator[tuple[slice, slice]]:
    for start in range(0, length, tile):
        end = min(start + tile, length)
        yield slice(start, end), slice(max(0, start - margin), min(length, end + margin))
