"""How many pixels a stream may hold, and what an image counts before it is known how many are its.

That is known once it was read. Until then the largest of those lately read whose files were about as large stands for
it, and where there was none, it counts as all that may be held. A first look into each file would be exact, and take
the time of opening it twice, on a thread that no broken file may hang. Who calls holds a lock.
"""

from __future__ import annotations

import os

from attnimg.images.source import Source

_KEPT = 7 / 8  # of what is expected of files of a size, with each that turns out smaller: one giant is soon forgotten


def magnitude_of(source: Source) -> int:
    """Return the binary order of magnitude of a source's bytes; 0 for what cannot be told."""
    try:
        size = os.stat(source.path).st_size if source.data is None else len(source.data)  # noqa: PTH116 - any bytes
    except OSError:
        return 0
    return size.bit_length()


class Budget:
    """Pixels that are held, and those that are expected of the images that are being read; `most` of both.

    It is passed by an image that has it alone, and by what images turn out to be larger than was expected of them.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held, self.expected = most, 0, 0
        self._by_magnitude: dict[int, int] = {}

    def has_room(self, magnitude: int) -> bool:
        """Tell whether an image may be read."""
        if magnitude not in self._by_magnitude:
            return not self.expected and self.held < self.most
        others = self.held + self.expected
        return not others or others + self._by_magnitude[magnitude] <= self.most

    def expect(self, magnitude: int) -> int:
        """Count an image that is to be read, and return as what, for `settle`."""
        expected = self._by_magnitude.get(magnitude, self.most)
        self.expected += expected
        return expected

    def settle(self, magnitude: int, expected: int, pixels: int | None) -> None:
        """Count the pixels of an image that was read in place of what was expected; None: it could not be read."""
        self.expected -= expected
        if pixels is not None:
            self.held += pixels
            lately = int(self._by_magnitude.get(magnitude, 0) * _KEPT)
            self._by_magnitude[magnitude] = max(pixels, lately)

    def release(self, pixels: int) -> None:
        """Count those of an image no more."""
        self.held -= pixels
