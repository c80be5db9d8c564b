"""Split the images of a folder into stable parts for several machines: `--shard 3/16`."""

from __future__ import annotations

import os
import re
from hashlib import blake2b

from attnimg.errors import UsageError
from attnimg.files.source import Source


def parse_shard(text: str) -> tuple[int, int]:
    """Return (k, n) for the text `k/n`, the k-th of n parts, counted from 1. Raises UsageError for any other text."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"{text!r} is not a shard. Give its number and their count: 3/16 is the third of sixteen.")
    return int(match[1]), int(match[2])


def in_shard(source: Source, k: int, n: int) -> bool:
    """Whether a source belongs to the k-th of n parts, counted from 1.

    A hash of `relative` alone decides, so new files do not move others to another part. It leaves out the extension:
    a.jpg and a.png may have the same output name, and only a run that sees both can report the collision.
    """
    name = (source.relative.parent / source.relative.stem).as_posix()
    digest = blake2b(os.fsencode(name), digest_size=8).digest()
    return int.from_bytes(digest) % n == k - 1
