"""Images that wait for the net, grouped by shape. Not thread-safe: the caller holds a lock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Image = TypeVar("Image")


@dataclass(slots=True, eq=False)
class Batch(Generic[Image]):
    """Images of one shape. since: time at which the first one was added, in seconds of the clock."""

    shape: Hashable
    images: list[Image]
    since: float


class Batches(Generic[Image]):
    """Groups images into batches.

    size: most images in one batch. patience: seconds that an image waits for others of its shape before its batch goes
    incomplete. clock: returns the time in seconds.
    """

    def __init__(self, size: int, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._patience, self._clock = size, patience, clock
        self._partial: dict[Hashable, Batch[Image]] = {}  # by shape, in order of `since`
        self._full: deque[Batch[Image]] = deque()
        self._fitting: dict[Hashable, int] = {}  # most images of a shape that fit into memory, if fewer than `size`

    def most(self, shape: Hashable) -> int:
        """Return the largest batch of a shape, in images."""
        return self._fitting.get(shape, self._size)

    def limit(self, shape: Hashable, most: int) -> None:
        """Limit later batches of a shape to `most` images; full batches that wait stay as they are."""
        self._fitting[shape] = most

    def add(self, image: Image, shape: Hashable) -> None:
        """Add an image to the batch of its shape."""
        batch = self._partial.setdefault(shape, Batch(shape, [], self._clock()))
        batch.images.append(image)
        if len(batch.images) >= self.most(shape):
            self._full.append(self._partial.pop(shape))

    def take_due(self, *, complete: bool) -> Batch[Image] | None:
        """Take the next full batch, or the oldest partial one if it is older and has waited for `patience`, or none.

        complete: whether no image can join the partial batches; then none of them waits.
        """
        shape, partial = next(iter(self._partial.items()), (None, None))
        first_full = self._full[0].since if self._full else float("inf")
        if partial and partial.since < first_full and self.remaining_patience(complete=complete) == 0:
            return self._partial.pop(shape)
        return self._full.popleft() if self._full else None

    def remaining_patience(self, *, complete: bool) -> float | None:
        """Return the seconds until the oldest partial batch goes: 0 if complete, None if there is no partial batch."""
        if not self._partial:
            return None
        if complete:
            return 0
        return max(0, next(iter(self._partial.values())).since + self._patience - self._clock())
