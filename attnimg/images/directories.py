"""A bound on the numbers in TIFF directories, which EXIF consists of as well.

Pillow makes a Python object of every number in a tag that is asked for, so that a few megabytes of a file become
gigabytes of memory. These checks follow the directories that Pillow decodes, by the same rules, and only count.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from PIL.ExifTags import IFD

_MOST_NUMBERS = 1_000_000  # in one directory; a TIFF has one for each strip
_MOST_ENTRIES = 1 << 16  # in one directory: there are no more tags
_MOST_DIRECTORIES = 16  # a file has four: the first one, Exif, GPS and Interop
_BELOW = (IFD.Exif, IFD.GPSInfo, IFD.Interop)  # tags that point to further directories
# Numbers by type, in the terms of `struct` (TIFF 6.0, section 2, and BigTIFF). Pillow does not convert other types.
_FORMS = {3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q"}
_SIZES = {kind: struct.calcsize("=" + form) for kind, form in _FORMS.items()}
_COSTS = {kind: 100 if len(form) == 2 else 1 for kind, form in _FORMS.items()}  # of a rational, in other numbers
_INTEGERS = "HIbhiQ"


def check_exif(exif: bytes) -> None:
    """Raise ValueError as `check_directories` does. exif: with or without the "Exif\\0\\0" that JPEG puts before it."""
    check_directories(io.BytesIO(re.sub(rb"^(?:Exif\0\0)+", b"", exif)))


def check_directories(file: BinaryIO) -> None:
    """Raise ValueError if the first directory, or one below it, holds more numbers than any program writes.

    file: a TIFF, or EXIF from the byte-order mark on.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return
    is_big = head[2] == 43 and len(head) == 16
    offset = order + ("Q" if is_big else "I")
    pending, seen = [struct.unpack_from(offset, head, 8 if is_big else 4)[0]], set[int]()
    while pending:
        at = pending.pop()
        if at in seen or not 0 <= at < length:
            continue
        seen.add(at)
        if len(seen) > _MOST_DIRECTORIES:
            raise ValueError("it holds too many directories")
        numbers = 0
        for tag, kind, count, value in _read_entries(file, at, order, is_big):
            size, form = _SIZES.get(kind, 0) * count, _FORMS.get(kind, "")
            if size > len(value):  # it is the offset of the numbers
                (start,) = struct.unpack(offset, value)
                if start + size > length:  # Pillow skips a tag whose data are missing
                    continue
                if tag in _BELOW and count == 1:
                    file.seek(start)
                    value = file.read(size)
            if tag in _BELOW and count == 1 and form and form in _INTEGERS:
                pending.append(struct.unpack_from(order + form, value)[0])
            numbers += _COSTS.get(kind, 0) * count
            if numbers > _MOST_NUMBERS:
                raise ValueError("a directory holds too many numbers")


def _read_entries(file: BinaryIO, at: int, order: str, is_big: bool) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield tag, type, count and the bytes of the value of each entry."""
    form, width = ("HHQ8s", 8) if is_big else ("HHI4s", 2)
    file.seek(at)
    count = int.from_bytes(file.read(width), "little" if order == "<" else "big")
    if count > _MOST_ENTRIES:
        raise ValueError("a directory holds too many tags")
    entry = struct.Struct(order + form)
    data = file.read(count * entry.size)
    yield from entry.iter_unpack(data[: len(data) - len(data) % entry.size])
