"""Segmentation: photos of any size to the class of every pixel, and what the net went by.

The net sees a photo at the size that it learnt from, and its logits are enlarged to the photo's own. What is larger
than a window, a panorama or a photo that is not to be scaled down, it sees in overlapping windows, whose logits fade
into each other. So memory is bounded by the window, and no seam shows.

On the CPU each photo goes by itself: sums in another order could flip pixels at which two classes are nearly equal, so
that a photo's mask could depend on those beside it, and a resumed run's on where it was interrupted. Other devices take
photos of one shape together, as a single one would leave much of such a device idle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnimg.attention import Recorder
from attnimg.datasets.masks import SegmentClass
from attnimg.images.opencv import memory_errors as opencv_memory_errors
from attnimg.images.picture import Pixels, to_bytes
from attnimg.tasks.device import autocast, memory_errors, place_net
from attnimg.tasks.load import load
from attnimg.tasks.pictures import Picture, apply
from attnimg.tasks.preprocessing import Normalize, to_float
from attnimg.tasks.scores import Scores, choose_best

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

    mask: H x W uint8, the id of each pixel's class, at the photo's own size. scores: logits C x h x w float32 (see
    `tasks.scores`). attention: float32 h x w over the photo, in [0, 1] with 0.5 for uniform attention. Both None unless
    asked for.
    """

    mask: NDArray[np.uint8]
    scores: Scores | None
    attention: NDArray[np.float32] | None


class Segmenter:
    """Segments photos; knows nothing of files.

    net, header: as `checkpoints` keeps them. device, precision: see `tasks.device`. resize: shortest side in pixels at
    which photos are seen; "auto": the model's own; None: each at its own size. tta: whether the mirrored photo is seen
    too, and the logits averaged.
    """

    def __init__(
        self,
        net: nn.Module,
        header: dict[str, Any],
        *,
        model: str,
        device: str,
        precision: str = "auto",
        resize: int | Literal["auto"] | None = "auto",
        tta: bool = False,
    ) -> None:
        self.model = model
        self.classes = tuple(SegmentClass(c["id"], c["label"], tuple(c["color"])) for c in header["classes"])
        self.shortest: int | None = header["preprocessing"]["size"] if resize == "auto" else resize
        self._tta = tta
        self._normalize = Normalize.of(header["preprocessing"])
        self._attention: str = header["attention"]
        self._net, self._device, self._dtype = place_net(net, device, precision)

    def __call__(self, images: Picture | Sequence[Picture]) -> Any:
        """Segment one photo or a list of them: PIL images or RGB arrays H x W x 3, uint8 or uint16.

        Returns masks, H x W uint8 of class ids (see `classes`). ValueError, TypeError: anything else.
        """

        def work(arrays: list[Pixels]) -> list[NDArray[np.uint8]]:
            return [self.predict([self.prepare(a)])[0].mask for a in arrays]

        return apply(work, images)

    @opencv_memory_errors()
    def prepare(self, pixels: Pixels, size: tuple[int, int] | None = None) -> Prepared:
        """Scale a photo, H x W x 3; the host's part, for any thread.

        size: its (width, height), where it was decoded at a reduced scale.
        """
        size = size or (pixels.shape[1], pixels.shape[0])
        width, height = fit(size, self.shortest)
        if pixels.shape[:2] != (height, width):
            shrinks = width * height < pixels.shape[0] * pixels.shape[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=method), pixels.dtype)
        return Prepared(to_bytes(pixels), size)

    @memory_errors()
    def predict(
        self, prepared: Sequence[Prepared], *, attention: bool = False, scores: bool = False
    ) -> list[Predicted]:
        """Segment photos that are prepared to one shape.

        On the CPU what is said of one does not depend on the others, to the bit; elsewhere a few pixels may.
        MemoryError: the device has too little for them. Fewer may fit; smaller windows would show the net less.
        """
        if not prepared:
            return []
        area = int(np.prod([min(WINDOW, side) for side in prepared[0].pixels.shape[:2]]))
        at_once = max(1, AT_ONCE.get(self._device.type, 0) // area)
        found = []
        for start in range(0, len(prepared), at_once):
            part = prepared[start : start + at_once]
            with torch.inference_mode():
                logits, maps = self._see(np.stack([p.pixels for p in part]), attention)
                for i, (width, height) in enumerate(p.size for p in part):
                    found.append(
                        Predicted(
                            choose_best(logits[i], height, width),
                            logits[i].cpu().numpy() if scores else None,
                            maps[i].cpu().numpy() if maps is not None else None,
                        )
                    )
        return found

    def _see(self, pixels: NDArray[np.uint8], attention: bool) -> tuple[Tensor, Tensor | None]:
        """Return the logits of photos N x H x W x 3, N x C x h x w, and where the net looked, N x h x w."""
        height, width = pixels.shape[1:3]
        total = weights = torch.zeros(())
        with Recorder(self._net, {self._attention} if attention else set()) as recorder:
            for rows, columns in product(spans(height), spans(width)):
                seen = self._run(pixels[:, rows, columns], recorder)  # (N, C or C + 1, h, w)
                stride = (rows.stop - rows.start) // seen.shape[2]
                if not weights.ndim:
                    weights = seen.new_zeros(height // stride, width // stride)
                    total = seen.new_zeros(*seen.shape[:2], *weights.shape)
                down, across = (slice(s.start // stride, s.stop // stride) for s in (rows, columns))
                fades = (fade(s, n, OVERLAP // stride) for s, n in zip((down, across), weights.shape, strict=True))
                weight = torch.outer(*fades).to(weights)
                total[:, :, down, across] += seen * weight
                weights[down, across] += weight
        total /= weights
        return (total[:, :-1], total[:, -1]) if attention else (total, None)

    def _run(self, pixels: NDArray[np.uint8], recorder: Recorder) -> Tensor:
        """Return what the net says of photos or windows, and after the logits its attention if that is recorded."""
        x = self._normalize(to_float(torch.from_numpy(pixels).to(self._device)))
        n = len(x)
        with autocast(self._device, self._dtype):
            logits: Tensor = self._net(torch.cat([x, x.flip(-1)]) if self._tta else x).float()
        if self._tta:
            logits = (logits[:n] + logits[n:].flip(-1)) / 2
        if self._attention not in recorder.maps:
            return logits
        maps = recorder.maps[self._attention][:n, None]
        return torch.cat([logits, F.interpolate(maps, logits.shape[2:], mode="bilinear", align_corners=False)], 1)


def load_segmenter(
    model: str = "street",
    *,
    device: str = "auto",
    precision: str = "auto",
    resize: int | Literal["auto"] | None = "auto",
    tta: bool = False,
) -> Segmenter:
    """Build the segmenter of a shipped model's name or a weight file's path; `Unavailable` says what is wrong."""
    build = partial(Segmenter, device=device, precision=precision, resize=resize, tta=tta)
    return load(model, "segment", build)


def fit(size: tuple[int, int], shortest: int | None) -> tuple[int, int]:
    """Return the size, (width, height), at which a photo is seen: its own, or one whose shortest side is `shortest`."""
    scale = 1.0
    if shortest is not None:
        scale = min(shortest / min(size), max(1.0, MOST_ENLARGED * shortest / max(size)))
    width, height = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in size)
    return width, height


def spans(length: int) -> Iterator[slice]:
    """Yield the windows along a side, evenly spread; the last may be longer by less than `ALIGNMENT`."""
    count = max(1, -(-(length - OVERLAP - ALIGNMENT + 1) // (WINDOW - OVERLAP)))
    for i in range(count):
        start = i * (length - WINDOW) // max(1, count - 1) // ALIGNMENT * ALIGNMENT
        yield slice(max(0, start), length if i == count - 1 else start + WINDOW)


def fade(part: slice, length: int, overlap: int) -> Tensor:
    """Return how much a window counts at each of its cells along one side: less towards its ends inside the photo."""
    cells = torch.arange(part.start, part.stop) + 0.5
    before = cells - part.start if part.start else torch.full_like(cells, overlap)
    after = part.stop - cells if part.stop < length else torch.full_like(cells, overlap)
    return torch.minimum(before, after).clamp(max=overlap) / overlap
