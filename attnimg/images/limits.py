"""Limits on decoding time and memory for untrusted files, and detection of files that change while being read.

Pillow limits the number of pixels. But it loops in Python over parts that may be as small as a byte, reads as many
bytes as a part claims to hold, and decompresses text again for every chunk. libjpeg processes the whole image for every
scan.
"""

from __future__ import annotations

import io
import math
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

from PIL import AvifImagePlugin, Image, JpegImagePlugin

from attnimg.errors import ImageError
from attnimg.files.formats import HEAD, sniff
from attnimg.files.source import Source
from attnimg.files.state import FileStamp, changed_error
from attnimg.images.directories import check_exif

RESTORE = "Restore it from a backup or download it again."
SAVE_AGAIN = "Save it again in an image editor."

# Bytes that may be read before the size is known. A TIFF may hold the layers of an editor, and is parsed twice.
_HEADER = {"JPEG": 1 << 25, "TIFF": 1 << 30}
_OTHER_HEADER = 1 << 29
_PIPE = 1 << 29  # bytes that are read from a pipe; they are in memory twice
_PARTS = 100_000  # reads; after more of them, a part must hold `_BYTES_OF_PART` on average
_PARTS_OF_BMP = 2_000_000  # Pillow reads each byte of a compressed BMP alone
_BYTES_OF_PART = 64
_HEADER_PARTS = {"GIF": 100_000, "TIFF": 200_000}  # parts of a GIF have up to 255 bytes; a TIFF has up to 65535 tags
_OTHER_HEADER_PARTS = 5_000
_BYTES_OF_PIXEL = 16  # four channels of 16 bits, which are read twice

_EXIF = b"Exif\0\0"  # start of an EXIF segment in a JPEG; Pillow copies all earlier segments for each one
_MOST_EXIF = 1 << 21

_COMPRESSED = (b"iCCP", b"iTXt", b"zTXt")  # chunks of a PNG
_MOST_COMPRESSED = 200

_SCANS = 64  # encoders write up to 20
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_NEXT_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")


def open_source(source: Source) -> BinaryIO:
    """Open the file, pipe or bytes of a source for reading. Raises ImageError: missing, unreadable, too-large."""
    if source.data is not None:
        return io.BytesIO(source.data)
    try:
        file = Path(source.path).open("rb")  # noqa: SIM115
        if file.seekable():
            return file
        with file:
            return io.BytesIO(_receive(file))
    except FileNotFoundError as error:
        raise ImageError("missing", "There is no such file, or it is a dead link. Check the path.") from error
    except OSError as error:
        raise ImageError("unreadable", f"It cannot be opened: {error.strerror}. Check its permissions.") from error


def _receive(pipe: BinaryIO) -> bytes:
    """Read an image to its end, and only the first bytes of anything else."""
    received = pipe.read(HEAD)
    if sniff(received) is None:
        return received
    blocks, size = [received], 0
    while block := pipe.read(1 << 20):
        blocks.append(block)
        size += len(block)
        if size > _PIPE:
            raise ImageError("too-large", f"Over {_PIPE >> 20} MiB came from the pipe. Use a file instead.")
    return b"".join(blocks)


class LimitedFile:
    """A file for decoders: `read`, `seek` and `tell` with limits, and all other attributes of the file.

    file: the file itself, without limits.

    Reading raises ImageError: damaged, if the file is split into far more parts than any encoder writes; too-large, if
    it holds more metadata than is allowed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._before = self._stamp()
        self.limit_header(None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)  # libtiff needs fileno or getvalue

    def limit_header(self, format: str | None) -> None:
        """Go to the start, and set the limits for the header of a format; None if it is not known yet."""
        self.file.seek(0)
        self._parts = self._bytes = self._exif = 0
        self._most = _HEADER.get(format or "", _OTHER_HEADER)
        self._most_parts = _HEADER_PARTS.get(format or "", _OTHER_HEADER_PARTS)
        self._least: float = math.inf  # bytes per part on average, after `_most_parts`

    def limit_pixels(self, format: str, pixels: int) -> None:
        """Set the limits for header and pixels together."""
        self._most += (pixels + 1) * _BYTES_OF_PIXEL
        self._most_parts = _PARTS_OF_BMP if format == "BMP" else _PARTS
        self._least = _BYTES_OF_PART

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `io.RawIOBase.read` does."""
        left = self._most - self._bytes
        if size is None or size < 0:
            size = _count_left(self.file)
        data = self.file.read(min(size, left + 1))
        self._parts += 1
        self._bytes += len(data)
        self._exif += len(data) * data.startswith(_EXIF)
        if len(data) > left or self._exif > _MOST_EXIF:
            most = self._most if len(data) > left else _MOST_EXIF
            raise ImageError("too-large", f"It holds over {most >> 20} MiB of metadata. {SAVE_AGAIN}")
        if self._parts > self._most_parts and self._bytes < self._least * self._parts:
            raise _fragmented_error()
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Seek as `io.IOBase.seek` does."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position as `io.IOBase.tell` does."""
        return self.file.tell()

    def check_unchanged(self) -> None:
        """Raise ImageError, unreadable, if the file's size or time differs from when it was opened."""
        if self._stamp() != self._before:
            raise changed_error()

    def _stamp(self) -> FileStamp | None:
        try:
            return FileStamp.of_open(self.file.fileno())
        except OSError:  # bytes in memory
            return None


class LimitedAvif(AvifImagePlugin.AvifImageFile):
    """Pillow's AVIF, which decodes EXIF while it opens. Raises the ValueError of `check_exif` first."""

    @property
    def _decoder(self) -> Any:
        return self._checked_decoder

    @_decoder.setter
    def _decoder(self, decoder: Any) -> None:
        for part in decoder.get_info():
            if isinstance(part, bytes):
                check_exif(part)
        self._checked_decoder = decoder


def _count_left(file: BinaryIO) -> int:
    at = file.tell()
    left = file.seek(0, os.SEEK_END) - at
    file.seek(at)
    return left


def _fragmented_error() -> ImageError:
    return ImageError("damaged", f"It is split into far more parts than any program writes. {SAVE_AGAIN}")


def check_chunks(file: BinaryIO) -> None:
    """Check the chunks of a PNG for faults that Pillow accepts. Raises ImageError: damaged."""
    file.seek(8)
    headers = compressed = small = 0
    while len(head := file.read(8)) == 8 and head[4:].isalpha() and head[4:] != b"IEND":
        size = int.from_bytes(head[:4], "big")
        headers += head[4:] == b"IHDR"
        compressed += head[4:] in _COMPRESSED
        small += size < _BYTES_OF_PART
        if headers != 1:
            raise ImageError("damaged", f"Its header is not the first chunk, or comes twice. {RESTORE}")
        if compressed > _MOST_COMPRESSED:
            raise ImageError("damaged", f"It holds over {_MOST_COMPRESSED} compressed texts. {SAVE_AGAIN}")
        if small > _PARTS:
            raise _fragmented_error()
        file.seek(size + 4, os.SEEK_CUR)


def check_scans(file: BinaryIO, image: Image.Image) -> None:
    """Count the scans of an open JPEG, unless the first one holds the whole image. Raises ImageError: damaged."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return
    # T.81, B.2.3: the marker, two bytes of length, the number of channels, two bytes for each of them, three more.
    whole = bytes([0, 6 + 2 * image.layers, image.layers])
    progressive, start = "progressive" in image.info, file.tell()  # after that
    file.seek(max(start - 6 - 2 * image.layers, 0))
    if file.read(3) == whole and not progressive:
        return
    file.seek(start)
    scans, data = int(start > 0), file.read(min(_count_left(file), _HEADER["JPEG"] + math.prod(image.size)))
    found = _NEXT_MARKER.search(data)
    while found and data[found.end() - 1] != _END_OF_IMAGE and scans <= _SCANS:
        at = found.end()
        scans += data[at - 1] == _START_OF_SCAN
        if scans == 1 and data[at : at + 3] == whole and not progressive:
            return
        found = _NEXT_MARKER.search(data, at + int.from_bytes(data[at : at + 2], "big"))
    if scans > _SCANS:
        raise ImageError("damaged", f"It has over {_SCANS} scans of its pixels. {RESTORE}")


def check_strips(image: Image.Image) -> None:
    """Raise ImageError, damaged, if the strips or tiles of a TIFF cover it more often than it has channels."""
    width, height = image.size
    tiles = getattr(image, "tile", ())
    covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in tiles)
    if covered > 8 * width * height:
        raise ImageError("damaged", f"Its strips overlap. {RESTORE}")
