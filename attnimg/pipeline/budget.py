"""How many pixels a stream may hold, and for how many an image counts before its own number is known.

Most files say so in their header, which is looked into first: of two files of the same bytes, one may hold a hundred
times the other's pixels. It counts as the largest of those lately read whose files were about as large, if that is
more, for what a job makes of an image stays in memory with it. Where no header tells, that alone stands for the image,
and where there was none, it counts as all that may be held. Nothing here knows of threads: the caller holds a lock.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from attnimg.images.source import Source

_KEPT = 7 / 8  # of what is expected of files of a size, with each that turns out smaller: one giant is soon forgotten


@dataclass(frozen=True, slots=True)
class Look:
    """What is known of an image before it is read: its pixels, if its header told, and how large its file is.

    magnitude: the binary order of magnitude of its bytes; 0 for what cannot be told.
    """

    pixels: int | None
    magnitude: int


def look_at(source: Source) -> Look:
    """Take a first look at a source; no error is raised and no pipe waited for."""
    from attnimg.images.sizes import measure  # takes time to import, which a command that reads nothing has not

    try:
        size = os.stat(source.path).st_size if source.data is None else len(source.data)  # noqa: PTH116 - any bytes
    except OSError:
        return Look(None, 0)
    return Look(measure(source), size.bit_length())


class Budget:
    """Pixels that are held, and those that are expected of the images that are being read; `most` of both.

    It is exceeded by a larger image, which has it alone, and by as much as images turn out to be larger than expected.
    """

    def __init__(self, most: int) -> None:
        self.most, self.held, self.expected = most, 0, 0
        self._by_magnitude: dict[int, int] = {}

    def has_room(self, look: Look) -> bool:
        """Tell whether an image may be read."""
        expected = self._guess(look)
        if expected is None:
            return not self.expected and self.held < self.most
        others = self.held + self.expected
        return not others or others + expected <= self.most

    def expect(self, look: Look) -> int:
        """Count an image that is to be read, and return as what, for `settle`."""
        guess = self._guess(look)
        expected = self.most if guess is None else guess
        self.expected += expected
        return expected

    def settle(self, look: Look, expected: int, pixels: int | None) -> None:
        """Count the pixels of an image that was read in place of what was expected; None: it could not be read."""
        self.expected -= expected
        if pixels is not None:
            self.held += pixels
            lately = int(self._by_magnitude.get(look.magnitude, 0) * _KEPT)
            self._by_magnitude[look.magnitude] = max(pixels, lately)

    def release(self, pixels: int) -> None:
        """Count those of an image no more."""
        self.held -= pixels

    def _guess(self, look: Look) -> int | None:
        lately = self._by_magnitude.get(look.magnitude)
        return lately if look.pixels is None else max(look.pixels, lately or 0)
