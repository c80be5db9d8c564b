"""OpenCV's manners in this program: it prints nothing, starts no threads, and runs out of memory as Python does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

# What is wrong with a file Pillow has found before; OpenCV would print it again, between our own lines.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# Readers and writers are threads already: a pool in each of them would fight the others for the same cores.
cv2.setNumThreads(1)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn OpenCV's way of saying that memory does not suffice into `MemoryError`."""
    try:
        yield
    except cv2.error as error:
        if "(-4:" in str(error):  # StsNoMem; `error.code` is one attribute for all threads
            raise MemoryError(str(error)) from error
        raise
