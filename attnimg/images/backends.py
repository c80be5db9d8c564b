"""Pillow and OpenCV: the formats that are read, and the set-up of a process that runs nothing but attnimg."""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import cv2
from PIL import (
    AvifImagePlugin,  # noqa: F401 - each makes its format known to Pillow
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
    _imaging,
)

MAX_TEXT_CHUNK = 1 << 22  # bytes of an unpacked PNG chunk; printers' profiles exceed Pillow's default of 1 MiB


def configure() -> None:
    """Set up Pillow and OpenCV for a process of our own: quiet, and without threads beside ours.

    For programs only: it changes both libraries for the whole process.
    """
    # Pillow reports broken files first; OpenCV would print the same errors between our own lines.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Readers and writers are threads already, and would compete with OpenCV's pool for the same cores.
    cv2.setNumThreads(1)
    # Pillow's warnings (odd EXIF, many pixels) become an ImageError here, or concern no pixel.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # libtiff prints to stderr what Pillow raises. On Windows Pillow hides the function, and it keeps printing.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def allow_large_profiles() -> None:
    """Raise Pillow's limit of unpacked PNG chunks to `MAX_TEXT_CHUNK`, for the whole process: it has no other way."""
    PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, MAX_TEXT_CHUNK)


def register_heif() -> bool:
    """Make HEIF known to Pillow, if the extra for it is installed; return whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextmanager
def opencv_memory_errors() -> Iterator[None]:
    """Turn OpenCV's out-of-memory error into `MemoryError`."""
    try:
        yield
    except cv2.error as error:
        if "(-4:" in str(error):  # StsNoMem; `error.code` is one attribute for all threads
            raise MemoryError(str(error)) from error
        raise
