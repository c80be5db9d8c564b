"""Encode PNG and TIFF of 8 or 16 bits: NumPy filters the rows, zlib compresses them.

Pillow has no 16-bit RGB, OpenCV no gray with alpha, and both take over twice the time.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from attnimg.images.directories import check_exif
from attnimg.images.metadata import Metadata, describe
from attnimg.images.pixels import Pixels

_ROWS_AT_ONCE = 256

# Tags of EXIF that may be dropped without a note: storage of the pixels (EXIF 2.32, 4.6.4 A to C), offsets of other
# tags, settings of printers, and padding by Windows.
_UNIMPORTANT = (
    *(Base.ImageWidth, Base.ImageLength, Base.BitsPerSample, Base.Compression, Base.PhotometricInterpretation),
    *(Base.SamplesPerPixel, Base.PlanarConfiguration, Base.YCbCrSubSampling, Base.YCbCrPositioning),
    *(Base.StripOffsets, Base.RowsPerStrip, Base.StripByteCounts, Base.JpegIFOffset, Base.JpegIFByteCount),
    *(Base.TransferFunction, Base.WhitePoint, Base.PrimaryChromaticities, Base.YCbCrCoefficients),
    *(Base.ReferenceBlackWhite, Base.ExifOffset, Base.GPSInfo, Base.PrintImageMatching, 0xEA1C),
)


def encode_png(colors: Pixels, alpha: Pixels | None, metadata: Metadata) -> bytes:
    """Encode H x W gray or H x W x 3 RGB colors, uint8 or uint16, and H x W alpha of the same type.

    metadata: stored as given; EXIF without the "Exif\\0\\0" that JPEG puts before it.
    """

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(data, zlib.crc32(name))
        return b"".join([len(data).to_bytes(4, "big"), name, data, checksum.to_bytes(4, "big")])

    # PNG, 3rd edition: 11.2.1 for the color types (0 gray, 2 RGB, plus 4 with alpha), 9.2 for the filter "Sub".
    kind = (0 if colors.ndim == 2 else 2) + (0 if alpha is None else 4)
    height, width = colors.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8 * colors.itemsize, kind, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header)]
    if metadata.icc:
        parts.append(chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.exif:
        parts.append(chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        parts.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    compressor = _compressor()
    for band in _interleave(colors, alpha, ">"):
        step, rows = band.shape[2] * band.itemsize, band.reshape(len(band), -1).view(np.uint8)
        lines = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
        lines[:, 0], lines[:, 1 : 1 + step] = 1, rows[:, :step]
        np.subtract(rows[:, step:], rows[:, :-step], out=lines[:, 1 + step :])
        parts.append(chunk(b"IDAT", compressor.compress(lines)))
    return b"".join([*parts, chunk(b"IDAT", compressor.flush()), chunk(b"IEND", b"")])


def encode_tiff(colors: Pixels, alpha: Pixels | None, metadata: Metadata) -> bytes:
    """Encode as `encode_png` does, also H x W x 4 CMYK colors. EXIF becomes tags, by `read_tags`."""
    strips = []
    for band in _interleave(colors, alpha, "<"):
        differences = band.copy()
        differences[:, 1:] -= band[:, :-1]  # TIFF 6.0, section 14: the predictor
        compressor = _compressor()
        strips.append(compressor.compress(differences) + compressor.flush())
    inks = 1 if colors.ndim == 2 else colors.shape[2]
    channels = inks + (alpha is not None)
    sizes = [len(strip) for strip in strips]
    tags: dict[int, Any] = {
        Base.ImageWidth: colors.shape[1],
        Base.ImageLength: colors.shape[0],
        Base.BitsPerSample: (8 * colors.itemsize,) * channels,
        Base.Compression: 8,  # Deflate, as zlib writes it
        Base.PhotometricInterpretation: {1: 1, 3: 2, 4: 5}[inks],
        Base.StripOffsets: (0, *accumulate(sizes[:-1])),  # Pillow adds the end of the directory
        Base.SamplesPerPixel: channels,
        Base.RowsPerStrip: _ROWS_AT_ONCE,
        Base.StripByteCounts: tuple(sizes),
        Base.Predictor: 2,
        **({} if alpha is None else {Base.ExtraSamples: 2}),  # not premultiplied
        **({Base.XMLPacket: metadata.xmp} if metadata.xmp else {}),
        **({Base.InterColorProfile: metadata.icc} if metadata.icc else {}),
    }
    if metadata.exif:
        tags |= read_tags(metadata.exif)[0]
    return b"".join([b"II*\0\x08\0\0\0", _write_directory(tags), *strips])


def read_tags(exif: bytes) -> tuple[dict[int, Any], bool]:
    """Return EXIF as tags of a TIFF, and whether they are all important ones. Raises EXIF_ERRORS if it is broken."""
    check_exif(exif)
    directory = Image.Exif()
    directory.load(exif)
    tags = describe(directory)
    _write_directory(tags)  # some tags that can be read cannot be written
    return tags, directory.keys() <= {*tags, *_UNIMPORTANT}


def _write_directory(tags: dict[int, Any]) -> bytes:
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    return directory.tobytes(8)


def _interleave(colors: Pixels, alpha: Pixels | None, order: str) -> Iterator[NDArray[Any]]:
    """Yield h x W x channels samples, some rows at a time. order: byte order, as in `struct`."""
    for top in range(0, len(colors), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        band = np.atleast_3d(colors[rows]) if alpha is None else np.dstack([colors[rows], alpha[rows]])
        yield np.ascontiguousarray(band, f"{order}u{colors.itemsize}")


def _compressor() -> Any:
    # In differences of a photo's pixels hardly anything but zeros repeats. Run-length matching is faster and smaller.
    return zlib.compressobj(1, strategy=zlib.Z_RLE)
