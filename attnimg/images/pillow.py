"""Pillow's manners in this program: it knows the formats that are read, loads no others, and prints nothing."""

from __future__ import annotations

import ctypes
import logging
import warnings
from contextlib import suppress

from PIL import (
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
    _imaging,
)

with suppress(ImportError):  # an extra
    import pillow_heif

    pillow_heif.register_heif_opener()

# What Pillow warns of (odd EXIF, sizes above its limit) becomes an ImageError here or harms no pixel.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
# libtiff writes on stderr what Pillow raises as well. Where Pillow hides the function (on Windows) it goes on doing so.
with suppress(OSError, AttributeError):
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
