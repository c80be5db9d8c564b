"""Semantic segmentation: the class of every pixel, and attention maps, for photos of any size.

Photos are scaled to the size of the training photos, and the logits are enlarged to the original size. Inputs larger
than a window, such as panoramas or photos at full size, are split into overlapping windows, whose logits are blended.
So memory is bounded by the window, and no seam shows.

On the CPU each photo is predicted alone. Sums in another order could flip pixels at which two classes are nearly equal,
so that a mask would depend on the other photos in its batch, and in a resumed run on the point of interruption. Other
devices take photos of one shape together, as a single photo leaves most of such a device idle.
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

MULTIPLE = 8  # of the net's input sides, so that the output grid covers a photo exactly, and its mirror image too
WINDOW, OVERLAP = 768, 192  # side of a window and least overlap of two, in pixels
ALIGNMENT = 32  # pixels; windows start at multiples, so that their output grid is that of the whole photo
MOST_ENLARGED = 4  # limit on longest / target shortest side of enlarged photos: thin strips would become huge
BATCH_PIXELS = {"mps": 1 << 20, "cuda": 1 << 24}  # pixels per batch, by device type; other devices: one photo


@dataclass(frozen=True)
class Prepared:
    """A photo that was preprocessed on the host.

    pixels: h x w x 3 uint8, the net's input. size: original (width, height) of the photo.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


@dataclass(frozen=True)
class Predicted:
    """The prediction for one photo.

    mask: H x W uint8, the class id of each pixel, at the photo's original size. scores: logits C x h x w float32, see
    `predictors.scores`. attention: float32 h x w over the photo, in [0, 1] with 0.5 for uniform attention. Both are
    None if not requested; so is attention if the model has none.
    """

    mask: NDArray[np.uint8]
    scores: Scores | None
    attention: NDArray[np.float32] | None


class Segmenter:
    """Segments photos.

    net, header: of a `models.sources.Model`. device, precision: see `models.device`. resize: shortest side of the net's
    input in pixels; "auto": the model's own; None: the photo's. tta: whether the logits are averaged with those of the
    mirrored photo. window, overlap: side and least overlap of the windows of larger inputs, in pixels. batch_pixels:
    pixels per batch for each device type.
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
        window: int = WINDOW,
        overlap: int = OVERLAP,
        batch_pixels: Mapping[str, int] = BATCH_PIXELS,
    ) -> None:
        preprocessing = Preprocessing.of(header, "shortest")
        self.model = model
        self.classes = tuple(read_class(entry, i) for i, entry in enumerate(header["classes"]))
        self.shortest = preprocessing.size if resize == "auto" else resize
        self._tta, self._window, self._overlap = tta, window, overlap
        self._has_attention = header.get("attention") is not None
        self.backend: Backend = TorchBackend(net, header, preprocessing, device=device, precision=precision)
        self._device = torch.device(self.backend.device)
        self._batch_pixels = batch_pixels.get(self._device.type, 0)

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> Any:
        """Segment one photo or a list of them: PIL images or RGB arrays H x W x 3, uint8 or uint16.

        Returns masks, H x W uint8 of class ids (see `classes`). ValueError, TypeError: anything else.
        """

        def work(arrays: list[Pixels]) -> list[NDArray[np.uint8]]:
            return [self.predict([self.prepare(a)])[0].mask for a in arrays]

        return apply(work, images)

    @opencv_memory_errors()
    def prepare(self, pixels: Pixels, size: tuple[int, int] | None = None) -> Prepared:
        """Scale a photo, H x W x 3, on the host. Thread-safe.

        size: original (width, height), if the photo was decoded at a reduced scale.
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
        """Segment photos whose prepared pixels have one shape.

        On the CPU a photo's result does not depend on the other photos, to the bit; elsewhere a few pixels may.
        MemoryError: the device has too little memory; fewer photos may fit. Windows are not made smaller, as the net
        would see less context.
        """
        if not prepared:
            return []
        attention = attention and self._has_attention
        area = int(np.prod([min(self._window, side) for side in prepared[0].pixels.shape[:2]]))
        at_once = max(1, self._batch_pixels // area)
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
        windows = (window_slices(side, self._window, self._overlap) for side in (height, width))
        for rows, columns in product(*windows):
            seen = self._run(np.ascontiguousarray(pixels[:, rows, columns]), attention)  # (N, C or C + 1, h, w)
            stride = (rows.stop - rows.start) // seen.shape[2]
            if not weights.ndim:
                weights = np.zeros((height // stride, width // stride), np.float32)
                total = np.zeros((*seen.shape[:2], *weights.shape), np.float32)
            down, across = (slice(s.start // stride, s.stop // stride) for s in (rows, columns))
            rows_weight, columns_weight = (
                blend_weights(s, n, self._overlap // stride) for s, n in zip((down, across), weights.shape, strict=True)
            )
            weight = np.outer(rows_weight, columns_weight)
            total[:, :, down, across] += seen * weight
            weights[down, across] += weight
        total /= weights
        return (total[:, :-1], total[:, -1]) if attention else (total, None)

    def _run(self, pixels: NDArray[np.uint8], attention: bool) -> NDArray[np.float32]:
        """Return the logits of photos or windows; if requested, the attention map is one more channel."""
        n = len(pixels)
        both = np.concatenate([pixels, pixels[:, :, ::-1]]) if self._tta else pixels
        logits, maps = self.backend(both, attention=attention)
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
    """Build the segmenter of a model's name or path; None: the shipped model. Raises Unavailable."""
    segmenter: Segmenter = load("segment", model, device=device, precision=precision, resize=resize, tta=tta)
    return segmenter


def read_class(entry: Mapping[str, Any], index: int) -> SegmentClass:
    """Read a class from a header. ValueError: its id or color is not allowed."""
    match entry:
        case {"id": int(number), "label": str(label), "color": [int(red), int(green), int(blue)]}:
            if number == index < VOID and all(0 <= value <= 255 for value in (red, green, blue)):
                return SegmentClass(number, label, (red, green, blue))
    raise ValueError("classes must have ids from 0 in order, to 254 at most, and colors of three bytes")


def resized_size(size: tuple[int, int], shortest: int | None) -> tuple[int, int]:
    """Return the (width, height) of the net's input: the photo's own, or one whose shortest side is `shortest`."""
    scale = 1.0
    if shortest is not None:
        scale = min(shortest / min(size), max(1.0, MOST_ENLARGED * shortest / max(size)))
    width, height = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in size)
    return width, height


def window_slices(length: int, window: int, overlap: int) -> Iterator[slice]:
    """Yield evenly spaced windows along a side. The last one may be longer than `window`, by less than `ALIGNMENT`."""
    count = max(1, -(-(length - overlap - ALIGNMENT + 1) // (window - overlap)))
    for i in range(count):
        start = i * (length - window) // max(1, count - 1) // ALIGNMENT * ALIGNMENT
        yield slice(max(0, start), length if i == count - 1 else start + window)


def blend_weights(part: slice, length: int, overlap: int) -> NDArray[np.float32]:
    """Return the weights of a window's cells along one side. They fall linearly towards ends inside the photo."""
    cells = np.arange(part.start, part.stop, dtype=np.float32) + np.float32(0.5)
    before = cells - part.start if part.start else np.full_like(cells, overlap)
    after = part.stop - cells if part.stop < length else np.full_like(cells, overlap)
    nearer: NDArray[np.float32] = np.minimum(np.minimum(before, after), np.float32(overlap))
    return nearer / np.float32(overlap)
