"""Pictures to encode, what stands beside them, and two ways back from a file: this program's reader and Pillow."""

from __future__ import annotations

import io
import struct
from pathlib import PurePath
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from attnimg.files.formats import FORMATS
from attnimg.files.source import Source
from attnimg.images.decoded import DecodedImage
from attnimg.images.encode import encode
from attnimg.images.metadata import Metadata
from attnimg.images.pixels import Pixels
from attnimg.images.read import read

_RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 300, 70  # more rows than are handled at once
SMALL = cv2.resize(_RNG.integers(30, 220, (9, 6, 3), dtype=np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
DEEP = cv2.resize(
    _RNG.integers(9000, 56000, (9, 6, 3), dtype=np.uint16), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR
)
ALPHA = _RNG.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
DEEP_ALPHA = _RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
NOTHING = Metadata()
WRITTEN = [name for name, format in FORMATS.items() if format.is_written]
WITH_EXIF = [name for name in WRITTEN if name != "BMP"]
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="4000" dc:x="7">'
    b"<tiff:ImageLength>3000</tiff:ImageLength><xmp:Thumbnails><rdf:Alt>AAAA</rdf:Alt></xmp:Thumbnails>"
    b"</rdf:Description></x:xmpmeta>"
)


def encoded(pixels: Pixels, alpha: Pixels | None = None, *, metadata: Metadata = NOTHING, **manner: Any) -> bytes:
    return bytes(encode(pixels, alpha, metadata=metadata, **manner).data)


def read_back(data: bytes | memoryview) -> DecodedImage:
    return read(Source("-", PurePath("stdin"), data=bytes(data)))


def open_back(data: bytes | memoryview) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def again(picture: DecodedImage, **options) -> DecodedImage:
    """Encode a picture in its own manner, as enhancing does, and read it back."""
    manner = {"format": picture.format, "lossless": picture.lossless, "gray": picture.gray, **options}
    return read_back(encoded(picture.pixels, picture.alpha, metadata=picture.metadata, **manner))


def make_exif(orientation: int = 6) -> bytes:
    """EXIF with a size, a maker's note at an offset of its own, a place, and a thumbnail after it all."""
    exif = Image.Exif()
    exif[Base.Orientation], exif[Base.Make], exif[Base.Artist] = orientation, "Maker", b"J\xc3\xb6rg"
    exif[IFD.Exif] = {Base.ExifImageWidth: 4000, Base.ExifImageHeight: 3000, Base.MakerNote: b"note" * 9}
    exif[IFD.GPSInfo] = {1: "N", 2: (52.0, 31.0, 12.5)}
    data = bytearray(exif.tobytes()[6:])
    thumbnail = encoded(SMALL[:40], format="JPEG")
    order = ">" if data[:2] == b"MM" else "<"
    first = struct.unpack_from(order + "I", data, 4)[0]
    after = first + 2 + 12 * struct.unpack_from(order + "H", data, first)[0]
    struct.pack_into(order + "I", data, after, len(data))
    entries = [(0x0201, 4, 1, len(data) + 30), (0x0202, 4, 1, len(thumbnail))]
    data += struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *e) for e in entries) + bytes(4)
    return b"Exif\0\0" + bytes(data) + thumbnail
