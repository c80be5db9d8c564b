"""Limit the pixels that a stream holds in memory, by an estimate of each image before it is read.

The header usually gives the pixel count; the file size does not: one of two files of equal size may hold a hundred
times the other's pixels. But a job may keep more than the image in memory. So the estimate is the header's count, or
the largest count seen lately in files of similar size if that is larger. Without a header's count, the latter alone is
the estimate; without either, an image counts as the whole budget. Not thread-safe: the caller holds a lock.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from attnimg.files.source import Source

_DECAY = 7 / 8  # of the expected pixels, per image that has fewer: one giant is soon forgotten


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of an image before it is read.

    pixels: by its header; None if unknown. magnitude: bit length of the file's size in bytes; 0 if unknown.
    """

    pixels: int | None
    magnitude: int


def estimate(source: Source) -> Estimate:
    """Return the estimate of a source. Raises nothing, never waits for a pipe."""
    try:
        size = os.stat(source.path).st_size if source.data is None else len(source.data)  # noqa: PTH116 - any bytes
    except OSError:
        return Estimate(None, 0)
    return Estimate(source.probe.pixels, size.bit_length())


class Budget:
    """Pixels held in memory, and pixels expected of images that are being read; at most `most` together.

    A larger image is read alone and exceeds it, as do images that turn out larger than expected.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held, self.expected = most, 0, 0
        self._by_magnitude: dict[int, int] = {}

    def has_room(self, size: Estimate) -> bool:
        """Whether an image may be read now."""
        expected = self._guess(size)
        if expected is None:
            return not self.expected and self.held < self.most
        others = self.held + self.expected
        return not others or others + expected <= self.most

    def expect(self, size: Estimate) -> int:
        """Count an image that will be read. Return the number of pixels counted, for `settle`."""
        guess = self._guess(size)
        expected = self.most if guess is None else guess
        self.expected += expected
        return expected

    def settle(self, size: Estimate, expected: int, pixels: int | None) -> None:
        """Replace an image's expected pixels by its actual ones. pixels: None if it could not be read."""
        self.expected -= expected
        if pixels is not None:
            self.held += pixels
            lately = int(self._by_magnitude.get(size.magnitude, 0) * _DECAY)
            self._by_magnitude[size.magnitude] = max(pixels, lately)

    def release(self, pixels: int) -> None:
        """Stop counting the pixels of an image."""
        self.held -= pixels

    def _guess(self, size: Estimate) -> int | None:
        lately = self._by_magnitude.get(size.magnitude)
        return lately if size.pixels is None else max(size.pixels, lately or 0)
