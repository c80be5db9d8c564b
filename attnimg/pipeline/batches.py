"""Images that wait for the net, gathered by shape. Nothing here knows of threads: the caller holds a lock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Image = TypeVar("Image")


@dataclass(slots=True, eq=False)
class Batch(Generic[Image]):
    """Images of one shape, and since when (`time.monotonic`) the first of them waits."""

    shape: Hashable
    images: list[Image]
    since: float


class Batches(Generic[Image]):
    """Batches on their way to the net.

    size: most images in one. patience: seconds that an image waits for others of its shape before its batch goes.
    """

    def __init__(self, size: int, patience: float) -> None:
        self._size, self._patience = size, patience
        self._partial: dict[Hashable, Batch[Image]] = {}  # by shape, in order of `since`
        self._full: deque[Batch[Image]] = deque()
        self._fitting: dict[Hashable, int] = {}  # images of a shape that fit into memory, where fewer than `size` do

    def most(self, shape: Hashable) -> int:
        """Return how many images of a shape go together."""
        return self._fitting.get(shape, self._size)

    def limit(self, shape: Hashable, most: int) -> None:
        """Let no more images of a shape go together from now on; full batches that wait stay as they are."""
        self._fitting[shape] = most

    def add(self, image: Image, shape: Hashable) -> None:
        """Put an image into the batch of its shape."""
        batch = self._partial.setdefault(shape, Batch(shape, [], time.monotonic()))
        batch.images.append(image)
        if len(batch.images) >= self.most(shape):
            self._full.append(self._partial.pop(shape))

    def take_due(self, *, complete: bool) -> Batch[Image] | None:
        """Take the batch that waits longest among the full ones and the partial one whose patience is over, if any.

        complete: whether nothing can join the partial ones.
        """
        shape, partial = next(iter(self._partial.items()), (None, None))
        first_full = self._full[0].since if self._full else float("inf")
        if partial and partial.since < first_full and self.remaining_patience(complete=complete) == 0:
            return self._partial.pop(shape)
        return self._full.popleft() if self._full else None

    def remaining_patience(self, *, complete: bool) -> float | None:
        """Seconds until the oldest partial batch goes; 0 once nothing can join it, None when there is none."""
        if not self._partial:
            return None
        if complete:
            return 0
        return max(0, next(iter(self._partial.values())).since + self._patience - time.monotonic())
