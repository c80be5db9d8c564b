"""Set up Pillow and OpenCV: the formats that are read, and settings of a process that runs only attnimg."""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

import cv2
from PIL import (
    AvifImagePlugin,  # noqa: F401 - each registers its format with Pillow
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
    _imaging,
)

_limiting = Lock()

MAX_TEXT_CHUNK = 1 << 22  # bytes of a decompressed PNG chunk; profiles of printers exceed Pillow's default of 1 MiB


def configure() -> None:
    """Make Pillow and OpenCV silent, and let OpenCV start no threads.

    For programs such as the command line, as it changes both libraries for the whole process.
    """
    # Pillow reports broken files first. OpenCV would print the same errors between our own lines.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Readers and writers are threads themselves. OpenCV's pool would compete with them for the same cores.
    cv2.setNumThreads(1)
    allow_large_profiles()
    # Pillow's warnings are about images that are refused here (too many pixels), or about EXIF.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    # libtiff prints the errors that Pillow raises, too. On Windows the function is hidden, and libtiff still prints.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def allow_large_profiles() -> None:
    """Raise Pillow's limit of decompressed PNG chunks to `MAX_TEXT_CHUNK`, for the whole process."""
    PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, MAX_TEXT_CHUNK)


@contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
    """Replace Pillow's limit of pixels during the block, one thread at a time: the process has only one limit."""
    with _limiting:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def register_heif() -> bool:
    """Register HEIF with Pillow. Return whether the extra for it is installed."""
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
