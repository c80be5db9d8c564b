"""The one table of file formats: names, extensions, signatures, and what each format can hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

DEFAULT_QUALITY = 95
"""Quality of JPEG, WebP, AVIF and HEIF, 1 to 100."""

HEAD = 64
"""Number of bytes at a file's start that `sniff` needs."""


@dataclass(frozen=True)
class Format:
    """Properties of an image format.

    extensions: those of written files, the first one for new names; empty for a format that is only read.
    read_extensions: further extensions that are read. spaces: color spaces of the ICC profiles that it holds. gray:
    whether it holds a single channel. sixteen_bit: whether it holds 16 bits per channel. longest: largest side in
    pixels, a limit of the format or of the libraries that read it (libpng, libavif). package: module of an extra that
    reads and writes it, if Pillow does not.
    """

    extensions: tuple[str, ...] = ()
    read_extensions: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ("RGB",)
    gray: bool = False
    sixteen_bit: bool = False
    longest: int = 2**31 - 1
    package: str | None = None

    @property
    def is_written(self) -> bool:
        """Whether this installation can write the format."""
        return bool(self.extensions) and (self.package is None or find_spec(self.package) is not None)


FORMATS = {
    "JPEG": Format((".jpg", ".jpeg", ".jpe", ".jfif"), (".mpo",), ("GRAY", "RGB", "CMYK"), gray=True, longest=65_500),
    "PNG": Format((".png",), (".apng",), ("GRAY", "RGB"), gray=True, sixteen_bit=True, longest=1_000_000),
    "WEBP": Format((".webp",), longest=16_383),
    "AVIF": Format((".avif",), longest=32_768),
    "TIFF": Format((".tif", ".tiff"), (), ("GRAY", "RGB", "CMYK"), gray=True, sixteen_bit=True),
    "BMP": Format((".bmp", ".dib"), (), (), gray=True),
    "HEIF": Format((".heic", ".heif", ".hif"), package="pillow_heif"),
    "GIF": Format((), (".gif",)),
}
"""By their names in Pillow."""

VIDEO_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
"""Extensions of the videos that are read and written, with FFmpeg's names of their containers."""

_RAW_EXTENSIONS = (  # of cameras; most such files are TIFFs whose first image is a preview
    *(".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
)
_IMAGE_EXTENSIONS = tuple(e for known in FORMATS.values() for e in known.extensions + known.read_extensions)
_VIDEO_EXTENSIONS = tuple(VIDEO_CONTAINERS)

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
}
_BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}
_BRANDS = {"AVIF": {b"avif", b"avis"}, "HEIF": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}}


def sniff(head: bytes) -> str | None:
    """Return the format of a file by its first `HEAD` bytes, a key of `FORMATS`, or None."""
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    # Two letters alone would match every text that begins with "BMW".
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if head[4:8] == b"ftyp":
        # ISO/IEC 23008-12: a major brand, four bytes of version, compatible brands. Those of AVIF also claim mif1.
        box = head[8 : int.from_bytes(head[:4], "big")]
        brands = {box[at : at + 4] for at in range(0, len(box), 4) if at != 4}
        return next((name for name, known in _BRANDS.items() if brands & known), None)
    return None


def sniff_file(path: str | Path) -> str | None:
    """Return the format of a file by its content; None also for a file that cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - any bytes
            return sniff(file.read(HEAD))
    except OSError:
        return None


def output_format(name: str) -> str:
    """Return the format in which an image of the named format is written: the same, or PNG if it cannot be."""
    return name if name in FORMATS and FORMATS[name].is_written else "PNG"


def format_of(path: str | Path) -> str | None:
    """Return the format that can be written under the path's extension, or None."""
    extension = os.path.splitext(path)[1].lower()  # noqa: PTH122 - any bytes
    return next((name for name, known in FORMATS.items() if extension in known.extensions and known.is_written), None)


def extension_of(name: str, path: str | Path = "") -> str:
    """Return the path's extension as spelled, if the format has it; else the first one of the format."""
    extension = os.path.splitext(path)[1]  # noqa: PTH122 - any bytes
    known = FORMATS[name].extensions
    return extension if extension.lower() in known else known[0]


def has_image_extension(path: str | Path) -> bool:
    """Whether the path has the extension of an image, in upper or lower case."""
    return os.fspath(path).lower().endswith(_IMAGE_EXTENSIONS)


def has_video_extension(path: str | Path) -> bool:
    """Whether the path has the extension of a video. Content does not decide, as a container may hold only sound."""
    return os.fspath(path).lower().endswith(_VIDEO_EXTENSIONS)


def has_raw_extension(path: str | Path) -> bool:
    """Whether the path has the extension of a camera's raw file. Such files are not read."""
    return os.fspath(path).lower().endswith(_RAW_EXTENSIONS)
