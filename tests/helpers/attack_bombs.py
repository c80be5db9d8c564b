"""Small files that ask for much, and files of other kinds under an image's name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from helpers.attack_corpus import encode, make_seeds
from helpers.container_blocks import join_riff, split_riff
from helpers.containers import chunk, gray_tiff, icc_chunk, png, segment


def bombs() -> Iterator[tuple[str, bytes, set[str]]]:
    """Small files that ask for much, made one at a time: name, content, and what may become of them."""
    row, zeros, jpeg = zlib.compress(bytes(31 * 30)), zlib.compress(bytes(1 << 25), 1), make_seeds()["rich.jpg"]
    start = jpeg.rindex(b"\xff\xda")
    rationals = struct.pack("<HHIII", 1, 0x0112, 5, 1 << 18, 26) + bytes(4) + b"\1" * (1 << 21)
    yield "giant.png", png(40_000, 40_000, row), {"too-large"}
    yield "giant_deep.png", png(13_000, 13_000, row, bits=16), {"too-large"}
    yield "giant.webp", _flat_webp(16383), {"too-large"}
    yield "long.png", png(10, 30, zeros), {"ok"}
    yield "text.png", png(10, 30, row, chunk(b"zTXt", b"a\0\0" + zeros)), {"damaged"}
    yield "xmp.png", png(10, 30, row, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros)), {"damaged"}
    yield "profile.png", png(10, 30, row, chunk(b"iCCP", b"a\0\0" + zeros)), {"damaged"}
    packed = icc_chunk(bytes(1 << 20))
    yield "profiles.png", png(10, 30, row, *[packed] * 5000), {"damaged"}
    yield "crumbs.png", png(10, 30, row, *[chunk(b"abCd", b"")] * 300_000), {"damaged"}
    yield "late_crumbs.png", png(10, 30, row)[:-12] + chunk(b"IDAT", b"") * 300_000, {"damaged"}
    yield "exif.png", png(10, 30, row, chunk(b"eXIf", b"II*\0\x08\0\0\0" + rationals)), {"ok"}
    yield "exif_twice.png", png(10, 30, row, chunk(b"eXIf", b"Exif\0\0II*\0\x08\0\0\0" + rationals)), {"ok"}
    text = b"\nexif\n9\n" + (b"II*\0\x08\0\0\0" + rationals * 8).hex().encode()
    yield "exif_as_text.png", png(10, 30, row, chunk(b"tEXt", b"Raw profile type exif\0" + text)), {"ok"}
    yield "exif.avif", _rational_avif(1 << 22), {"damaged"}
    yield "fill.jpg", b"\xff\xd8" + b"\xff" * 10_000_000 + jpeg[2:], {"damaged"}
    yield "crumbs.jpg", b"\xff\xd8" + segment(0xFE, b"") * 1_000_000 + jpeg[2:], {"damaged"}
    yield "exif.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 1000 + jpeg[2:], {"too-large"}
    yield "profile.jpg", b"\xff\xd8" + segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(65_000)) * 600, {"too-large"}
    yield "scans.jpg", jpeg[:-2] + jpeg[start:-2] * 1000 + jpeg[-2:], {"damaged"}
    pair = make_seeds()["pair.jpg"]
    at = pair.index(b"\xff\xda")
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + bytes(50)
    yield "scans_of_pair.jpg", pair[:at] + scan * 1000 + pair[at:], {"damaged"}
    index = struct.pack("<H", 4000) + struct.pack("<HHII", 0xB001, 6, 60_000, 0) * 4000 + bytes(4)
    yield "index_of_pair.jpg", jpeg[:2] + segment(0xE2, b"MPF\0II*\0\x08\0\0\0" + index) + jpeg[2:], {"ok"}
    yield "strips.tif", gray_tiff((273, 4, 1 << 21, None), bytes(1 << 23)), {"damaged"}
    overlapping = [(256, 4, 1, 1000), (257, 4, 1, 1000), (278, 4, 1, 999), (273, 4, 60_000, None)]
    yield "overlap.tif", gray_tiff(*overlapping, struct.pack("<I", 8) * 300_000), {"damaged"}
    yield "resolution.tif", gray_tiff((282, 5, 1 << 20, None), b"\1" * (1 << 23)), {"damaged"}
    below = struct.pack("<HHHI", 1, 0x829A, 5, 1 << 18)
    yield "exif.tif", gray_tiff((34665, 4, 1, None), below + b"\0\0\4\0\0\0\0\0" + b"\1" * (1 << 22)), {"damaged"}
    yield "bits.tif", gray_tiff((258, 3, 1 << 22, None), bytes(1 << 23)), {"damaged"}
    yield "loop.tif", gray_tiff((34665, 4, 1, 8), (34853, 4, 1, 8), (330, 4, 1, 8), bytes(5000)), {"ok", "damaged"}
    yield "profile.tif", gray_tiff((34675, 7, 1 << 25, None), bytes(1 << 25)), {"ok"}
    yield "samples.tif", gray_tiff((277, 4, 1, 1 << 31), bytes(5000)), {"damaged"}
    yield "crumbs.gif", _after_palette(bytes(1_000_000)), {"damaged"}
    yield "texts.gif", _after_palette(b"!\xfe\1a\0" * 500_000), {"damaged"}
    yield "packed.bmp", _packed_bmp(b"\0\0" * 1_100_000), {"damaged"}
    first, *others = split_riff(make_seeds()["lossy.webp"])
    yield "crumbs.webp", join_riff([first, *[b"abcd"] * 200_000, *others]), {"damaged"}
    yield (
        "narrow.tif",
        gray_tiff((256, 4, 1, 1), (257, 4, 1, 3_000_000), (278, 4, 1, 3_000_000), bytes(3 << 20)),
        {"ok"},
    )


def _flat_webp(side: int) -> bytes:
    """One color in a few bytes: five codes of one symbol each (RFC 9649, 3.7.2.1.1), and no bits for the pixels."""
    bits, at = 0, 0
    fields = [(0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)]
    for value, width in [*fields, *[(1, 1), (0, 1), (0, 1), (0, 1)] * 5]:
        bits |= value << at
        at += width
    return join_riff([b"VP8L" + bits.to_bytes(-(-at // 8), "little")])


def _rational_avif(count: int) -> bytes:
    """EXIF whose orientation is so many rational numbers; Pillow writes it under the name of another tag."""
    directory = [struct.pack("<HHHII", 1, tag, 5, count, 26) for tag in (0x010E, 0x0112)]
    exif = b"II*\0\x08\0\0\0" + directory[0] + bytes(4) + b"\1" * (8 * count)
    return encode(Image.new("RGB", (8, 8)), "AVIF", exif=exif).replace(*directory)


def _after_palette(blocks: bytes) -> bytes:
    gif = make_seeds()["still.gif"]
    at = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    return gif[:at] + blocks + gif[at:]


def _packed_bmp(runs: bytes) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 2000, 2000, 1, 8, 1, 0, 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", 0, 0, 0, 1078) + head + bytes(1024) + runs


IMPOSTORS = {
    "svg": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
    "pdf": b"%PDF-1.7\n1 0 obj << /Type /Catalog /Pages 1 0 R >> endobj\ntrailer << /Root 1 0 R /Prev 0 >>\n%%EOF",
    "ps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n{ } loop\n",
    "html": b"<!doctype html><img src=x onerror=alert(1)>" + b"<div>" * 1000,
    "elf": b"\x7fELF\2\1\1" + bytes(9) + b"\2\0\x3e\0" + bytes(100),
    "zip": b"PK\3\4" + bytes(60),
    "text": b"BMW and other cars",
    "pickle": b"\x80\x04\x95" + bytes(60),
    "byte": b"\xff",
    "zeros": bytes(1000),
    "ftyp": b"\0\0\0\x18ftypmp42" + bytes(100),
}
