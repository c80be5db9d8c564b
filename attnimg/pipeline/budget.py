"""How many pixels a stream may hold, and for how many an image counts before its own number is known.

Most files say so in their header, which is looked into first: of two files of the same bytes, one may hold a hundred
times the other's pixels. It counts as the largest of those lately read whose files were about as large, if that is
more, for what a job makes of an image stays in memory with it. Where no header tells, that alone stands for the image,
and where there was none, it counts as all that may be held. Nothing here knows of threads: the caller holds a lock.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from attnimg.files.source import Source

_KEPT = 7 / 8  # of what is expected of files of a size, with each that turns out smaller: one giant is soon forgotten


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of an image before it is read.

    pixels: by its header, if that tells. magnitude: bit length of the file's size in bytes; 0 if unknown.
    """

    pixels: int | None
    magnitude: int


def estimate(source: Source) -> Estimate:
    """Return the estimate of a source; raises nothing, and waits for no pipe."""
    try:
        size = os.stat(source.path).st_size if source.data is None else len(source.data)  # noqa: PTH116 - any bytes
    except OSError:
        return Estimate(None, 0)
    return Estimate(source.probe.pixels, size.bit_length())


class Budget:
    """Pixels that are held, and those that are expected of the images that are being read; `most` of both.

    It is exceeded by a larger image, which has it alone, and by as much as images turn out to be larger than expected.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held, self.expected = most, 0, 0
        self._by_magnitude: dict[int, int] = {}

    def has_room(self, size: Estimate) -> bool:
        """Tell whether an image may be read."""
        expected = self._guess(size)
        if expected is None:
            return not self.expected and self.held < self.most
        others = self.held + self.expected
        return not others or others + expected <= self.most

    def expect(self, size: Estimate) -> int:
        """Count an image that is to be read, and return as what, for `settle`."""
        guess = self._guess(size)
        expected = self.most if guess is None else guess
        self.expected += expected
        return expected

    def settle(self, size: Estimate, expected: int, pixels: int | None) -> None:
        """Count the pixels of an image that was read in place of what was expected; None: it could not be read."""
        self.expected -= expected
        if pixels is not None:
            self.held += pixels
            lately = int(self._by_magnitude.get(size.magnitude, 0) * _KEPT)
            self._by_magnitude[size.magnitude] = max(pixels, lately)

    def release(self, pixels: int) -> None:
        """Count those of an image no more."""
        self.held -= pixels

    def _guess(self, size: Estimate) -> int | None:
        lately = self._by_magnitude.get(size.magnitude)
        return lately if size.pixels is None else max(size.pixels, lately or 0)
