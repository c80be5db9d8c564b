"""Detect truncated videos: compare the sizes in the container's headers with the size of the file.

This takes no time. Decoding would take hours to reach the cut, and decoders often conceal missing data.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SLACK = 8  # bytes that may be missing, because some writers count a header twice
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_cut_short(path: Path) -> bool:
    """Whether an MP4, MOV, AVI or MKV file ends before its container does. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        head = _read(file, 0, 4)
        ends = _ends_of_riff if head == b"RIFF" else _ends_of_matroska if head == _EBML else _ends_of_boxes
        return any(end > size + SLACK for end in ends(file))


def _ends_of_boxes(file: BinaryIO) -> Iterator[int]:
    """Yield the ends of the main boxes of an MP4 or MOV.

    ISO/IEC 14496-12, 4.2: size and kind. A size of 1 stands for a longer one behind the kind, 0 for the file's rest.
    """
    at = 0
    while len(head := _read(file, at, 16)) >= 8:
        size = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        if size < 8:
            return
        at += size
        if head[4:8] in (b"moov", b"mdat", b"moof"):  # cameras append data of their own that are not boxes
            yield at


def _ends_of_riff(file: BinaryIO) -> Iterator[int]:
    """Yield the ends of an AVI's RIFF chunks. OpenDML AVI 1.02: long files have several; unfinished ones say 0."""
    at = 0
    while (head := _read(file, at, 8))[:4] == b"RIFF":
        at += 8 + int.from_bytes(head[4:8], "little")
        yield at


def _ends_of_matroska(file: BinaryIO) -> Iterator[int]:
    """Yield the ends of an MKV's header and segment.

    RFC 8794, 4 and 5: the leading zeros of the first byte give the length of the size; all ones mean an unknown size.
    """
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
