"""Read one image as upright sRGB pixels, whatever its container, bit depth, colour model and orientation.

Pillow decodes: it lets other threads run meanwhile, raises on files that are cut short, and reduces JPEGs while decoding them
as fast as OpenCV does (which fills what a cut JPEG lacks with grey and carries on). OpenCV reads what Pillow would drop
to 8 bits: 16-bit RGB. AVIF and HEIC of 10 or 12 bits are read at 8.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageFile, TiffImagePlugin, WebPImagePlugin

from attnimg.errors import ImageError
from attnimg.images.colour import to_srgb
from attnimg.images.find import Source
from attnimg.images.formats import HEAD, sniff

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
