"""Whether a video's file is all there: what its container announces, against the bytes that it has.

Known at once, where decoding would take hours to come to the cut; and decoders often pass over what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SLACK = 8  # bytes that a file may lack, for some writers count a header twice
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_cut_short(path: Path) -> bool:
    """Tell whether an MP4, MOV, AVI or MKV file ends before its container does. OSError: it cannot be read."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        head = _read(file, 0, 4)
        ends = _ends_of_riff if head == b"RIFF" else _ends_of_matroska if head == _EBML else _ends_of_boxes
        return any(end > size + SLACK for end in ends(file))


def _ends_of_boxes(file: BinaryIO) -> Iterator[int]:
    """ISO/IEC 14496-12, 4.2: size and kind. A size of 1 is followed by a longer one, 0 means to the end of the file."""
    at = 0
    while len(head := _read(file, at, 16)) >= 8:
        size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        if size < 8:
            return
        at += size
        if head[4:8] in (b"moov", b"mdat", b"moof"):  # what follows them may be a camera's own, and no box
            yield at


def _ends_of_riff(file: BinaryIO) -> Iterator[int]:
    """OpenDML AVI 1.02: a long file is several RIFF chunks. Recordings that were cut off have a size of 0."""
    at = 0
    while (head := _read(file, at, 8))[:4] == b"RIFF":
        at += 8 + int.from_bytes(head[4:8], "little")
        yield at


def _ends_of_matroska(file: BinaryIO) -> Iterator[int]:
    """RFC 8794, 4 and 5: the first byte's leading zeros tell a size's length; all ones mean that it is not known."""
    at = 0
    for element in (_EBML, _SEGMENT):
        head = _read(file, at, 12)
        if head[:4] != element or len(head) < 5:
            return
        length = 9 - head[4].bit_length()
        size = int.from_bytes(head[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            return
        at += 4 + length + size
        yield at


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)
