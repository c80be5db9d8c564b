"""The images of `torture.py`: small, in many formats, some under unusual names, some hostile."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

SIDE = 64  # pixels
HOSTILE = 50  # one image in so many is hostile, and another one has an unusual name
FORMATS = (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif")
ODD_NAMES = (b"two words %d", b"-%d", b'%d\'s "quotes"', b"[%d]*?", b"line\nbreak %d", "\u591c %d".encode())
NOT_UTF8 = b"caf\xe9 %d"  # a name on Linux, but not on other systems


def make_corpus(folder: Path, count: int, random: Random, *, hostile_every: int = HOSTILE) -> set[str]:
    """Fill a new folder with `count` images. Return the relative paths of the hostile ones, which must fail."""
    failing = set()
    odd, hostile = cycle((*ODD_NAMES, *[NOT_UTF8] * (sys.platform == "linux"))), cycle(HOSTILES)
    pixels = np.random.default_rng(random.getrandbits(32))
    for i in range(count):
        below = folder.joinpath(*(str(random.randrange(4)) for _ in range(random.randrange(4))))
        below.mkdir(parents=True, exist_ok=True)
        name = os.fsdecode(next(odd) % i) if i % hostile_every == 1 else f"{i:05}"
        if i % hostile_every == 2:
            path = below / f"{name}.jpg"
            path.write_bytes(next(hostile)(_encode(pixels, ".jpg")))
            failing.add(os.fspath(path.relative_to(folder)))
        else:
            suffix = FORMATS[i % len(FORMATS)]
            (below / f"{name}{suffix}").write_bytes(_encode(pixels, suffix))
    return failing


def _encode(random: np.random.Generator, suffix: str) -> bytes:
    """Return an image file: a coarse pattern in dim colors, with noise."""
    coarse = random.integers(0, 160, (4, 4, 3), np.uint8).repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
    file = io.BytesIO()
    image = Image.fromarray(coarse + random.integers(0, 20, coarse.shape, np.uint8))
    image.save(file, Image.registered_extensions()[suffix])
    return file.getvalue()


def _bomb(data: bytes) -> bytes:
    """Return a PNG of a few bytes whose header claims 10 gigapixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


HOSTILES: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: data[: len(data) // 2],
    lambda data: b"",
    lambda data: b"This is no image, whatever its name says.\n",
    _bomb,
)
"""Functions that turn the bytes of an image into those of a hostile file."""
