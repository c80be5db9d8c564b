"""Enhancement: dark photos of any size to bright ones of the same size and depth, and what the net went by.

The net judges the exposure by a small copy of the whole photo, and restores the photo in tiles, each with a margin of
what lies around it. So memory is bounded by the tile, and no seam shows; where a device has less, tiles become smaller.

On the CPU each photo goes by itself: sums in another order would change some pixels by one code, so that a photo would
depend on those beside it, and a resumed run on where it was interrupted. Other devices take photos of one shape
together, as a small one would leave most of such a device idle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attnimg.attention import Recorder
from attnimg.errors import UsageError
from attnimg.images.picture import Pixels
from attnimg.nets.enhancer import MULTIPLE
from attnimg.nets.enhancer import Enhancer as Net
from attnimg.nets.look import Seen
from attnimg.tasks.device import autocast, memory_errors, place_net
from attnimg.tasks.exposure import average, look_around, squeeze
from attnimg.tasks.load import load
from attnimg.tasks.pictures import Picture, apply

TILES = {"cpu": 1024, "cuda": 2048}  # pixels along a side
LEAST_TILE = 128  # to which they shrink, as what a smaller one sees is nearly all margin
MARGIN = 64  # pixels around a tile that it sees; of what lies further away no trace reaches 1/255
TOGETHER = {"cuda", "mps"}  # the devices on which photos of one shape go together
DETAIL = 9  # pixels; noise and texture are smaller, casts and shading larger


@dataclass(frozen=True)
class Settings:
    """How a photo is enhanced.

    strength: 0 leaves it as it is, 1 is what the net proposes. exposure: about the mean of the result, 0 to 1 (exactly
    that of the brightened photo, before it is restored); None: what the net judges right. denoise: 0 leaves the noise,
    1 is what the net proposes. UsageError: one is outside 0 to 1.
    """

    strength: float = 1.0
    exposure: float | None = None
    denoise: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value <= 1:
                raise UsageError(f"{name} is {value}; give a number between 0 and 1.")


@dataclass(frozen=True)
class Prepared:
    """The host's part of a photo.

    pixels: H x W x 3, uint8 or uint16. thumbnail: the whole of it, S x S x 6 float32 in [0, 1] (see `squeeze`).
    """

    pixels: Pixels
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True)
class Restored:
    """What the net made of a photo.

    pixels: as the photo's. attention: G x G float32 over the photo, what its exposure was judged by, in [0, 1] with 0.5
    for uniform attention; None unless asked for.
    """

    pixels: Pixels
    attention: NDArray[np.float32] | None


class Enhancer:
    """Enhances photos; knows nothing of files.

    net, header: as `checkpoints` keeps them. device, precision: see `tasks.device`. tile: side of the tiles that a
    larger photo is cut into, and of the square that smaller ones may fill together, but on the CPU; None: as suits the
    device. It halves for good, down to `LEAST_TILE`, when the device has too little memory.
    """

    def __init__(
        self,
        net: Net,
        header: dict[str, Any],
        *,
        model: str,
        device: str,
        precision: str = "auto",
        tile: int | None = None,
    ) -> None:
        self.model = model
        self._size: int = header["preprocessing"]["size"]
        self._attention: str = header["attention"]
        self._net, self._device, self._dtype = place_net(net, device, precision)
        tile = tile or TILES.get(self._device.type, TILES["cpu"])
        self.tile = -(-tile // MULTIPLE) * MULTIPLE

    def __call__(self, images: Picture | Sequence[Picture], settings: Settings = Settings()) -> Any:
        """Enhance one photo or a list of them: PIL images or RGB arrays H x W x 3, uint8 or uint16.

        Returns arrays of the photos' shape and depth. ValueError, TypeError: anything else.
        """

        def work(arrays: list[Pixels]) -> list[Pixels]:
            return [self.predict([self.prepare(a)], settings)[0].pixels for a in arrays]

        return apply(work, images)

    def prepare(self, pixels: Pixels) -> Prepared:
        """Make the small copy of a photo, H x W x 3; the host's part, for any thread."""
        return Prepared(pixels, squeeze(pixels, self._size))

    @memory_errors()
    def predict(
        self, prepared: Sequence[Prepared], settings: Settings = Settings(), *, attention: bool = False
    ) -> list[Restored]:
        """Enhance photos of one shape. MemoryError: the device has too little for them.

        On the CPU what becomes of one does not depend on the others, to the bit; elsewhere it may, slightly.
        """
        parts = [prepared] if self._device.type in TOGETHER else [[one] for one in prepared]
        return [restored for part in parts if part for restored in self._predict(part, settings, attention)]

    def _predict(self, prepared: Sequence[Prepared], settings: Settings, attention: bool) -> list[Restored]:
        with Recorder(self._net, {self._attention} if attention else set()) as recorder:
            seen = self.look([p.thumbnail for p in prepared], settings)
        maps = average(recorder.maps[self._attention]).cpu().numpy() if attention else [None] * len(prepared)
        photos = self.restore([p.pixels for p in prepared], seen, settings)
        return [Restored(pixels, map_) for pixels, map_ in zip(photos, maps, strict=True)]

    @memory_errors()
    def look(self, thumbnails: Sequence[NDArray[np.float32]], settings: Settings) -> Seen:
        """Judge the exposure of whole photos by their small copies; `restore` applies it."""
        small = torch.from_numpy(np.stack(thumbnails)).to(self._device).permute(0, 3, 1, 2)
        with torch.inference_mode(), autocast(self._device, self._dtype):
            seen = look_around(self._net, small)
        if settings.exposure is None:
            return seen
        return seen.exposed(small[:, :3], settings.exposure)

    def restore(self, photos: Sequence[Pixels], seen: Seen, settings: Settings) -> list[Pixels]:
        """Enhance photos of one shape, H x W x 3, by what was seen of them, tile by tile.

        MemoryError: the device has too little for the smallest tiles.
        """
        height, width = photos[0].shape[:2]
        found: list[Pixels] = []
        while len(found) < len(photos):
            at_once = max(1, self.tile**2 // (height * width))
            part = slice(len(found), len(found) + at_once)
            pixels = np.stack(photos[part]) if at_once > 1 else photos[part.start][None]
            out = np.empty_like(pixels)
            if self._fill(out, pixels, Seen(*(s[part] for s in seen)), settings):
                found += list(out)
            else:
                del out  # before another takes its place
                self.tile = max(LEAST_TILE, -(-self.tile // 2 // MULTIPLE) * MULTIPLE)
        return found

    def _fill(self, out: Pixels, pixels: Pixels, seen: Seen, settings: Settings) -> bool:
        """Enhance photos N x H x W x 3 into `out`; False: not in tiles of this size, and smaller ones are left."""
        try:
            with memory_errors(), torch.inference_mode(), autocast(self._device, self._dtype):
                for inner, outer in tiles(pixels.shape[1], pixels.shape[2], self.tile):
                    tile = self._enhance(pixels, outer, seen, settings)
                    own = (slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True))
                    out[:, *inner] = tile[:, *own]
        except MemoryError:  # whose traceback keeps what was tried in memory until we return
            if self.tile <= LEAST_TILE:
                raise
            return False
        return True

    def _enhance(self, pixels: Pixels, place: tuple[slice, slice], seen: Seen, settings: Settings) -> Pixels:
        full = float(np.iinfo(pixels.dtype).max)
        rows, columns = place
        part = pixels[:, rows, columns].copy()  # contiguous, and for torch to write to
        height, width = part.shape[1:3]
        x = torch.from_numpy(part if part.dtype == np.uint8 else part.astype(np.int32)).to(self._device)
        x = x.permute(0, 3, 1, 2).float().div_(full)
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
        box = torch.tensor([rows.start, columns.start, rows.start + x.shape[2], columns.start + x.shape[3]])
        box = box / torch.tensor(pixels.shape[1:3]).repeat(2)
        bright, added = self._net.enhance(x, seen, box.to(self._device).expand(len(x), 4))
        y = bright.add_(self._smooth(added, settings.denoise))
        y = torch.lerp(x, y.clamp_(0, 1), settings.strength)
        y = y[..., :height, :width].permute(0, 2, 3, 1).mul_(full).round_()
        return (
            y.to(torch.uint8 if full == 255 else torch.int32).contiguous().cpu().numpy().astype(part.dtype, copy=False)
        )

    @staticmethod
    def _smooth(added: Tensor, denoise: float) -> Tensor:
        """Keep of what restores detail the share `denoise`, and all of what corrects larger parts."""
        if denoise == 1:
            return added
        larger = F.avg_pool2d(added, DETAIL, 1, DETAIL // 2, count_include_pad=False)
        return torch.lerp(larger, added, denoise)


def load_enhancer(
    model: str = "night", *, device: str = "auto", precision: str = "auto", tile: int | None = None
) -> Enhancer:
    """Build the enhancer of a shipped model's name or a weight file's path; `Unavailable` says what is wrong."""
    return load(model, "enhance", partial(Enhancer, device=device, precision=precision, tile=tile))


def tiles(height: int, width: int, tile: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Yield what each tile is for, and what it sees: itself and a margin, as far as the photo goes.

    Tiles begin at multiples of `MULTIPLE`, so that the net's grid lies on the photo as if there were none.
    """
    for (rows, seen_rows), (columns, seen_columns) in product(_spans(height, tile), _spans(width, tile)):
        yield (rows, columns), (seen_rows, seen_columns)


def _spans(length: int, tile: int) -> Iterator[tuple[slice, slice]]:
    for start in range(0, length, tile):
        end = min(start + tile, length)
        yield slice(start, end), slice(max(0, start - MARGIN), min(length, end + MARGIN))
