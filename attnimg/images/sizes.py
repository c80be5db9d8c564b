"""How many pixels an image has by its first bytes, in formats whose libraries would want all of the file to tell."""

from __future__ import annotations

import re

MORE = {"AVIF": 1 << 16, "HEIF": 1 << 16}
"""Bytes that are wanted beside `formats.HEAD`: what describes the items stands first, and is small."""

_SIZE_BOX = re.compile(rb"\0\0\0\x14ispe\0\0\0\0(.{4})(.{4})", re.DOTALL)


def count_pixels(first: bytes, format: str) -> int | None:
    """Count them by a file's first bytes; None where these do not tell. format: as `sniff` names it."""
    match format:
        case "PNG":  # it stands nowhere else, or `check_chunks` refuses it
            sizes = [(int.from_bytes(first[16:20], "big"), int.from_bytes(first[20:24], "big"))]
        case "WEBP":
            sizes = _read_webp(first)
        case "AVIF" | "HEIF":  # ISO/IEC 23008-12, 6.5.3: of the image, of its tiles, its alpha, its thumbnail
            sizes = [
                (int.from_bytes(width, "big"), int.from_bytes(height, "big"))
                for width, height in _SIZE_BOX.findall(first)
            ]
        case _:
            sizes = []
    return max((width * height for width, height in sizes), default=0) or None


def _read_webp(first: bytes) -> list[tuple[int, int]]:
    """RFC 9649, 2.5 to 2.7, and RFC 6386, 9.1."""
    kind, bits = first[12:16], int.from_bytes(first[21:25], "little")
    if len(first) < 30 or kind not in (b"VP8X", b"VP8L", b"VP8 "):
        return []
    if kind == b"VP8X":
        return [(int.from_bytes(first[24:27], "little") + 1, int.from_bytes(first[27:30], "little") + 1)]
    if kind == b"VP8L":
        return [((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)]
    return [(int.from_bytes(first[26:28], "little") & 0x3FFF, int.from_bytes(first[28:30], "little") & 0x3FFF)]
