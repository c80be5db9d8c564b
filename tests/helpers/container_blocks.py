"""Containers taken apart and put together: lengths and checksums come out right, whatever became of the blocks.

The first four bytes of a block are its name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from helpers.containers import chunk, segment

Blocks = list[bytes]


def split_png(data: bytes) -> Blocks:
    blocks, at = [], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        blocks.append(data[at + 4 : end])
        at = end + 4
    return blocks


def join_png(blocks: Blocks) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(block[:4], block[4:]) for block in blocks)


def split_jpeg(data: bytes) -> Blocks:
    blocks, at = [], 2
    while at + 4 <= len(data) and data[at] == 255 and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        blocks.append(data[at : at + 2] + b"\0\0" + data[at + 4 : end])  # as in others, four bytes are the block's name
        at = end
    return [*blocks, data[at:]]


def join_jpeg(blocks: Blocks) -> bytes:
    made = b"".join(segment(block[1], block[4:65000]) for block in blocks[:-1] if len(block) > 3)
    return b"\xff\xd8" + made + blocks[-1]


def split_riff(data: bytes) -> Blocks:
    blocks, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        blocks.append(data[at : at + 4] + data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return blocks


def join_riff(blocks: Blocks) -> bytes:
    made = b"".join(b[:4] + struct.pack("<I", max(len(b) - 4, 0)) + b[4:] + bytes(len(b) % 2) for b in blocks)
    return b"RIFF" + struct.pack("<I", len(made) + 4) + b"WEBP" + made


def split_boxes(data: bytes) -> Blocks:
    blocks, at = [], 0
    while at + 8 <= len(data):
        size = max(int.from_bytes(data[at : at + 4], "big"), 8)
        blocks.append(data[at + 4 : at + size])
        at += size
    return blocks


def join_boxes(blocks: Blocks) -> bytes:
    return b"".join(struct.pack(">I", len(block) + 4) + block for block in blocks)


def split_tiff(data: bytes) -> Blocks:
    """The entries of the first directory, and last all that is not one."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    if not 8 <= at <= len(data) - 2:
        return []
    (count,) = struct.unpack_from(order + "H", data, at)
    entries = [data[start : start + 12] for start in range(at + 2, min(at + 2 + 12 * count, len(data) - 12), 12)]
    return [*entries, data]


def join_tiff(blocks: Blocks) -> bytes:
    """The directory anew at the end: so everything else stays where it was."""
    *entries, data = blocks
    order, at = ("<" if data[:2] == b"II" else ">"), len(data)
    entries = [entry[:12].ljust(12, b"\0") for entry in entries]
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack(order + "I", at) + data[8:] + directory


CONTAINERS: list[tuple[Callable[[bytes], bool], Callable[[bytes], Blocks], Callable[[Blocks], bytes]]] = [
    (lambda data: data[:4] == b"\x89PNG", split_png, join_png),
    (lambda data: data[:2] == b"\xff\xd8", split_jpeg, join_jpeg),
    (lambda data: data[8:12] == b"WEBP", split_riff, join_riff),
    (lambda data: data[4:8] == b"ftyp", split_boxes, join_boxes),
    (lambda data: data[:4] in (b"II*\0", b"MM\0*") and len(data) > 8, split_tiff, join_tiff),
]
