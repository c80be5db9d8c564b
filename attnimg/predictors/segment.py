"""Segmentation: photos of any size to the class of every pixel, and what the net went by.

The net sees a photo at the size that it learnt from, and its logits are enlarged to the photo's own. What is larger
than a window, a panorama or a photo that is not to be scaled down, it sees in overlapping windows, whose logits fade
into each other. So memory is bounded by the window, and no seam shows.

On the CPU each photo goes by itself: sums in another order could flip pixels at which two classes are nearly equal, so
that a photo's mask could depend on those beside it, and a resumed run's on where it was interrupted. Other devices take
photos of one shape together, as a single one would leave much of such a device idle.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from attnimg.images.backends import opencv_memory_errors
from attnimg.images.pixels import Pixels, to_uint8
from attnimg.labels import VOID, SegmentClass
from attnimg.models.backend import Backend, TorchBackend
from attnimg.models.device import torch_memory_errors
from attnimg.models.load import load
from attnimg.models.preprocessing import Preprocessing
from attnimg.predictors.inputs import ImageLike, apply
from attnimg.predictors.scores import Scores, choose_best

MULTIPLE = 8  # of the sides that the net sees, so that its grid ends where the photo does, mirrored or not
WINDOW, OVERLAP = 768, 192  # pixels; the overlap at least
ALIGNMENT = 32  # of the windows' beginnings: each has the grid that the whole photo would have
MOST_ENLARGED = 4  # times the shortest side that the longest of an enlarged photo may be: a line would become a field
AT_ONCE = {"mps": 1 << 20, "cuda": 1 << 24}  # pixels of photos that go together; elsewhere none do


@dataclass(frozen=True)
class Prepared:
    """The host's part of a photo.

    pixels: h x w x 3 uint8, as the net is to see them. size: the photo's own (width, height).
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


@dataclass(frozen=True)
class Predicted:
    """What the net says of a photo.

    mask: H x W uint8, the class id of each pixel, at the photo's own size. scores: logits C x h x w float32, see
    `predictors.scores`. attention: float32 h x w over the photo, in [0, 1] with 0.5 for uniform attention. Both None if
    not asked for.
    """

    mask: NDArray[np.uint8]
    scores: Scores | None
    attention: NDArray[np.float32] | None


class Segmenter:
    """Segments photos; knows nothing of files.

    net, header: as of a `models.sources.Model`. device, precision: see `models.device`. resize: shortest side in pixels
    that the net sees; "auto": the model's own; None: the photo's. tta: whether the mirrored photo is predicted too, and
    the logits averaged.
    """

    def __init__(
        self,
        net: nn.Module,
        header: Mapping[str, Any],
        *,
        model: str,
        device: str = "auto",
        precision: str = "auto",
        resize: int | Literal["auto"] | None = "auto",
        tta: bool = False,
    ) -> None:
        preprocessing = Preprocessing.of(header, "shortest")
        self.model = model
        self.classes = tuple(read_class(entry, i) for i, entry in enumerate(header["classes"]))
        self.shortest = preprocessing.size if resize == "auto" else resize
        self._tta = tta
        self._backend: Backend = TorchBackend(net, header, preprocessing, device=device, precision=precision)
        self._device = torch.device(self._backend.device)

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> Any:
        """Segment one photo or a list of them: PIL images or RGB arrays H x W x 3, uint8 or uint16.

        Returns masks, H x W uint8 of class ids (see `classes`). ValueError, TypeError: anything else.
        """

        def work(arrays: list[Pixels]) -> list[NDArray[np.uint8]]:
            return [self.predict([self.prepare(a)])[0].mask for a in arrays]

        return apply(work, images)

    @opencv_memory_errors()
    def prepare(self, pixels: Pixels, size: tuple[int, int] | None = None) -> Prepared:
        """Scale a photo, H x W x 3; the host's part, for any thread.

        size: its full (width, height), if it was decoded at a reduced scale.
        """
        size = size or (pixels.shape[1], pixels.shape[0])
        width, height = resized_size(size, self.shortest)
        if pixels.shape[:2] != (height, width):
            shrinks = width * height < pixels.shape[0] * pixels.shape[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=method), pixels.dtype)
        return Prepared(to_uint8(pixels), size)

    @torch_memory_errors()
    def predict(
        self, prepared: Sequence[Prepared], *, attention: bool = False, scores: bool = False
    ) -> list[Predicted]:
        """Segment photos that are prepared to one shape.

        On the CPU a photo's result does not depend on the others, to the bit; elsewhere a few pixels may.
        MemoryError: the device has too little memory. Fewer photos may fit; smaller windows would show the net less.
        """
        if not prepared:
            return []
        area = int(np.prod([min(WINDOW, side) for side in prepared[0].pixels.shape[:2]]))
        at_once = max(1, AT_ONCE.get(self._device.type, 0) // area)
        found = []
        for start in range(0, len(prepared), at_once):
            part = prepared[start : start + at_once]
            logits, maps = self._predict(np.stack([p.pixels for p in part]), attention)
            for i, (width, height) in enumerate(p.size for p in part):
                mask = choose_best(torch.from_numpy(logits[i]).to(self._device), height, width)
                found.append(Predicted(mask, logits[i] if scores else None, None if maps is None else maps[i]))
        return found

    def _predict(
        self, pixels: NDArray[np.uint8], attention: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the logits of photos N x H x W x 3, N x C x h x w, and their attention maps, N x h x w."""
        height, width = pixels.shape[1:3]
        total: NDArray[np.float32] = np.zeros((), np.float32)
        weights = total
        for rows, columns in product(window_slices(height), window_slices(width)):
            seen = self._run(np.ascontiguousarray(pixels[:, rows, columns]), attention)  # (N, C or C + 1, h, w)
            stride = (rows.stop - rows.start) // seen.shape[2]
            if not weights.ndim:
                weights = np.zeros((height // stride, width // stride), np.float32)
                total = np.zeros((*seen.shape[:2], *weights.shape), np.float32)
            down, across = (slice(s.start // stride, s.stop // stride) for s in (rows, columns))
            rows_weight, columns_weight = (
                blend_weights(s, n, OVERLAP // stride) for s, n in zip((down, across), weights.shape, strict=True)
            )
            weight = np.outer(rows_weight, columns_weight)
            total[:, :, down, across] += seen * weight
            weights[down, across] += weight
        total /= weights
        return (total[:, :-1], total[:, -1]) if attention else (total, None)

    def _run(self, pixels: NDArray[np.uint8], attention: bool) -> NDArray[np.float32]:
        """Return the logits of photos or windows, followed by the attention map if that is asked for."""
        n = len(pixels)
        both = np.concatenate([pixels, pixels[:, :, ::-1]]) if self._tta else pixels
        logits, maps = self._backend(both, attention=attention)
        if self._tta:
            logits = (logits[:n] + logits[n:, ..., ::-1]) / np.float32(2)
        if maps is None:
            return logits
        grid = torch.from_numpy(maps[:n, None])
        fine = F.interpolate(grid, logits.shape[2:], mode="bilinear", align_corners=False).numpy()
        return np.concatenate([logits, fine], 1)


def load_segmenter(
    model: str | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
    resize: int | Literal["auto"] | None = "auto",
    tta: bool = False,
) -> Segmenter:
    """Build the segmenter of a model's name or path; default: the shipped one. Raises Unavailable."""
    segmenter: Segmenter = load("segment", model, device=device, precision=precision, resize=resize, tta=tta)
    return segmenter


def read_class(entry: Mapping[str, Any], index: int) -> SegmentClass:
    """Return a class as a header has it. ValueError: its id or color is not allowed."""
    match entry:
        case {"id": int(number), "label": str(label), "color": [int(red), int(green), int(blue)]}:
            if number == index < VOID and all(0 <= value <= 255 for value in (red, green, blue)):
                return SegmentClass(number, label, (red, green, blue))
    raise ValueError("classes must have ids from 0 in order, to 254 at most, and colors of three bytes")


def resized_size(size: tuple[int, int], shortest: int | None) -> tuple[int, int]:
    """Return the size, (width, height), at which a photo is seen: its own, or one whose shortest side is `shortest`."""
    scale = 1.0
    if shortest is not None:
        scale = min(shortest / min(size), max(1.0, MOST_ENLARGED * shortest / max(size)))
    width, height = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in size)
    return width, height


def window_slices(length: int) -> Iterator[slice]:
    """Yield the windows along a side, evenly spread; the last may be longer by less than `ALIGNMENT`."""
    count = max(1, -(-(length - OVERLAP - ALIGNMENT + 1) // (WINDOW - OVERLAP)))
    for i in range(count):
        start = i * (length - WINDOW) // max(1, count - 1) // ALIGNMENT * ALIGNMENT
        yield slice(max(0, start), length if i == count - 1 else start + WINDOW)


def blend_weights(part: slice, length: int, overlap: int) -> NDArray[np.float32]:
    """Return how much a window counts at each of its cells along one side: less towards its ends inside the photo."""
    cells = np.arange(part.start, part.stop, dtype=np.float32) + np.float32(0.5)
    before = cells - part.start if part.start else np.full_like(cells, overlap)
    after = part.stop - cells if part.stop < length else np.full_like(cells, overlap)
    nearer: NDArray[np.float32] = np.minimum(np.minimum(before, after), np.float32(overlap))
    return nearer / np.float32(overlap)
