"""Cores, limits and memory of the process.

Importing attnimg changes nothing; a program of our own calls `share_cores` before torch is imported.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from typing import Literal, get_args

MAX_PIXELS = 300_000_000
"""Default of the most pixels of an image."""

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""Floating-point types of nets, by the names that options, recipes and headers use."""

POOL = "attnimg"
"""Prefix of the names of threads that read and write; a thread that outlives its run hangs in a read."""

PRECISIONS: tuple[str, ...] = get_args(Precision)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def count_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def share_cores() -> None:
    """Make idle OpenMP threads sleep. Call it before torch is imported.

    By default they spin, and take the cores from the threads that read and write.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_memory() -> None:
    """Make glibc keep freed memory for the next feature maps, up to 256 MiB.

    By default it returns large blocks to the system at once, and getting them back, page by page, takes a third of the
    time of a forward pass. Blocks over 16 MiB, such as large photos, are still returned. All threads share one arena:
    with one each, the default, memory grows over thousands of images.
    """
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 16 << 20)
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        mallopt(_M_ARENA_MAX, 1)
