"""Data sets of pairs: each photo in low light with the same scene in normal light.

A part of DATA (`train/`, `val/`) holds `low/` and `normal/`, whose files pair by their path without its extension.
Where low light is synthesized, photos in `normal/` need no partner.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from attnimg.datasets.reading import list_partners
from attnimg.errors import UsageError


@dataclass(frozen=True)
class Pairs:
    """Files in normal light and, at the same index, in low light (None: there is none), in a fixed order."""

    low: tuple[str | None, ...]
    normal: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.normal)


def find_pairs(root: Path, *, all_paired: bool = True) -> Pairs:
    """Return the pairs below root/low and root/normal, sorted by name.

    all_paired: whether each photo in normal light must have a partner; if not, low/ may be missing. UsageError: a
    folder is missing or empty, a photo has no partner, or a file or folder cannot be read.
    """
    normal, low = list_partners(root, "normal", "low", all_paired=all_paired)
    return Pairs(tuple(map(low.get, normal)), tuple(normal.values()))


def split_pairs(pairs: Pairs, share: float, seed: int) -> tuple[Pairs, Pairs]:
    """Split off a share of the pairs by a seeded choice; return (rest, share). UsageError: there is only one."""
    if len(pairs) < 2:
        raise UsageError(f"{pairs.normal[0]} is the only photo. Add some, or give --val.")
    chosen = set(Random(seed).sample(range(len(pairs)), max(1, round(share * len(pairs)))))  # noqa: S311

    def take(wanted: bool) -> Pairs:
        keep = [i for i in range(len(pairs)) if (i in chosen) == wanted]
        return Pairs(tuple(pairs.low[i] for i in keep), tuple(pairs.normal[i] for i in keep))

    return take(False), take(True)
