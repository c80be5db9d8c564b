"""A bound on the numbers in TIFF directories, which EXIF consists of as well.

Pillow makes a Python object of every number in a tag that is asked for, so that a few megabytes of a file become
gigabytes of memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL.ExifTags import IFD

_MOST_NUMBERS = 1_000_000  # in one directory; a TIFF has one for each strip
_RATIONALS = (5, 10)
_COST_OF_RATIONAL = 100  # in terms of other numbers
# Bytes of one number by type (TIFF 6.0, section 2, and BigTIFF); Pillow keeps bytes, text and undefined as they are.
_SIZES = {3: 2, 4: 4, 5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_BELOW = (IFD.Exif, IFD.GPSInfo, IFD.Interop, 330)  # tags that point to further directories; 330: SubIFDs


def check_directories(file: BinaryIO) -> None:
    """Raise ValueError if a directory of a TIFF, or of EXIF, holds more numbers than any program writes.

    file: from the byte-order mark on.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return
    is_big = b"+" in head[2:4] and len(head) == 16
    (first,) = struct.unpack_from(order + "Q" if is_big else order + "I", head, 8 if is_big else 4)
    pending, seen = [first], set[int]()
    while pending:
        at = pending.pop()
        if at in seen or not 0 < at < length:
            continue
        seen.add(at)
        file.seek(at)
        numbers = 0
        for tag, kind, count, value in _read_entries(file, order, is_big, pending):
            size = _SIZES.get(kind, 0) * count
            if size > (8 if is_big else 4) and value + size > length:  # Pillow skips a tag whose data are missing
                continue
            if tag in _BELOW and count == 1:
                pending.append(value)
            numbers += (kind in _SIZES) * count * (_COST_OF_RATIONAL if kind in _RATIONALS else 1)
            if numbers > _MOST_NUMBERS:
                raise ValueError("a directory holds too many numbers")


def _read_entries(file: BinaryIO, order: str, is_big: bool, chain: list[int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield tag, type, count and value of a directory's entries; append the offset of the next one to `chain`."""
    entry, count_of, offset = ("HHQQ", "Q", "Q") if is_big else ("HHII", "H", "I")
    width = struct.calcsize(order + count_of)
    data = file.read(width)
    if len(data) < width:
        return
    (count,) = struct.unpack(order + count_of, data)
    entries = file.read(min(count, 1 << 16) * struct.calcsize(order + entry))
    whole = len(entries) - len(entries) % struct.calcsize(order + entry)
    yield from struct.iter_unpack(order + entry, entries[:whole])
    following = file.read(struct.calcsize(order + offset))
    if len(following) == struct.calcsize(order + offset):
        chain.append(struct.unpack(order + offset, following)[0])
