"""Image containers, made byte by byte as no library would make them."""

from __future__ import annotations

import struct
import zlib


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, rows: bytes, *extra: bytes, bits: int = 8, color: int = 2) -> bytes:
    """A PNG of given zlib data, with chunks before it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"", after: int = 0) -> bytes:
    """A TIFF of one directory: (tag, type, count, value or offset), and what stands behind it."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", after) + rest


def tiff_data(count: int) -> int:
    """Where what stands behind a directory of so many entries begins."""
    return 8 + 2 + 12 * count + 4


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([255, marker]) + struct.pack(">H", len(data) + 2) + data


def gray_tiff(*entries: object) -> bytes:
    """A gray TIFF of 64 x 64, with some entries set; None is where the last argument lies, which stands behind."""
    *changed, rest = entries
    tags = {256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    tags |= {277: (3, 1, 1), 278: (4, 1, 64), 279: (4, 1, 4096)}
    tags |= {tag: given for tag, *given in changed}
    behind = tiff_data(len(tags))
    return tiff([(tag, kind, count, behind if at is None else at) for tag, (kind, count, at) in tags.items()], rest)


def icc_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def matrix_profile(curves: bytes = b"curv\0\0\0\0\0\0\0\1\2\0", color: float = 0.3) -> bytes:
    """An ICC profile of three primaries and one curve for all of them (ICC.1:2022, 7)."""
    fixed = int(color * 65536)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    xyz = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(fixed * (1 + (i == j)) for j in range(3))) for i in range(3)]
    tags = [(b"wtpt", white), *zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True)]
    tags += [(name, curves) for name in (b"rTRC", b"gTRC", b"bTRC")]
    at, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags:
        content = content.ljust(-(-len(content) // 4) * 4, b"\0")
        table += name + struct.pack(">II", at + len(data), len(content))
        data += content
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"lcms", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + data
