"""Which files are images: by their first bytes, as `file` does, and by their extension. Which ones are videos."""

from __future__ import annotations

HEAD = 64  # bytes that `sniff` wants to see

_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif"),
    *(".tif", ".tiff", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif"),
)

_RAW_EXTENSIONS = (  # of cameras; most are TIFFs whose first picture is a preview
    *(".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw"),
    *(".orf", ".pef", ".raf", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
)
_VIDEO_EXTENSIONS = (".mp4", ".mov", ".avi", ".mkv")

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
    """Name the format that a file's first `HEAD` bytes announce, in Pillow's words ("JPEG", "HEIF", ...), or None."""
    for signature, name in _SIGNATURES.items():
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    # Two letters alone would make an image of every text that begins with "BMW".
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if head[4:8] == b"ftyp":
        # ISO/IEC 23008-12: a major brand, four bytes of version, compatible brands. Those of AVIF also claim mif1.
        box = head[8 : int.from_bytes(head[:4], "big")]
        brands = {box[at : at + 4] for at in range(0, len(box), 4) if at != 4}
        return next((name for name, known in _BRANDS.items() if brands & known), None)
    return None


def has_image_extension(path: str) -> bool:
    """Tell whether the path ends like an image's, in upper or lower case."""
    return path.lower().endswith(_EXTENSIONS)


def has_video_extension(path: str) -> bool:
    """Tell whether the path ends like a video's; its content would not do, for the same containers hold mere sound."""
    return path.lower().endswith(_VIDEO_EXTENSIONS)


def has_raw_extension(path: str) -> bool:
    """Tell whether the path ends like a camera's raw file, which is not read."""
    return path.lower().endswith(_RAW_EXTENSIONS)
