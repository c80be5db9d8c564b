"""A stable part of the images, so that several machines can share one folder: `--shard 3/16`."""

from __future__ import annotations

import os
import re
from hashlib import blake2b

from attnimg.errors import UsageError
from attnimg.files.source import Source


def parse_shard(text: str) -> tuple[int, int]:
    """Return (k, n) of `k/n`, the k-th of n parts, counted from 1. UsageError: it is none."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"{text!r} is no shard. Give its number and how many there are: 3/16 is the third of sixteen.")
    return int(match[1]), int(match[2])


def in_shard(source: Source, k: int, n: int) -> bool:
    """Tell whether a source belongs to the k-th of n parts, counted from 1.

    It goes by a hash of `relative` alone, so files that are added move no other. The extension does not count: a.jpg
    and a.png may become one output name, and must meet in one run for the second to be told.
    """
    name = (source.relative.parent / source.relative.stem).as_posix()
    digest = blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest) % n == k - 1
