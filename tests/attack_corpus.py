"""Hostile files, made from nothing but a seed: damaged ones of every format that is read, bombs, and impostors.

Half of the damage knows the container: blocks are dropped, repeated, swapped, nested or given another's content, and
lengths and checksums are made right again, or else most of it would be turned away at the first one.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageCms

Blocks = list[bytes]

_NUMBERS = (0, 1, 2, 7, 8, 12, 13, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_HEAD = 300  # bytes from the start, where the structure of small files is


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, rows: bytes, *extra: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG of given zlib data, with chunks before it."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"", after: int = 0) -> bytes:
    """A TIFF of one directory: (tag, type, count, value or offset), and what stands behind it."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", after) + rest


def tiff_data(count: int) -> int:
    """Where what stands behind a directory of so many entries begins."""
    return 8 + 2 + 12 * count + 4


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([255, marker]) + struct.pack(">H", len(data) + 2) + data


def encode(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    # Copies, for Pillow leaves options of one format in an image for the next.
    options |= (
        {"append_images": [other.copy() for other in options["append_images"]]} if "append_images" in options else {}
    )
    image.copy().save(file, form, **options)
    return file.getvalue()


def exif(orientation: int = 6) -> bytes:
    tags = Image.Exif()
    tags.update({0x0112: orientation, 0x010F: "maker", 0x011A: 72.0})
    tags.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    return tags.tobytes()


@cache
def make_seeds() -> dict[str, bytes]:
    """A small whole file of each kind that is read, by name."""
    rng = np.random.default_rng(0)
    pixels = cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (40, 30), interpolation=cv2.INTER_CUBIC)
    deep = rng.integers(0, 65536, (30, 40, 4), dtype=np.uint16)
    photo, icc = Image.fromarray(pixels), ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    clear = photo.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(photo.size))
    frames = {"save_all": True, "append_images": [photo.rotate(90), photo.rotate(180)]}
    rich = {"exif": exif(), "icc_profile": matrix_profile()}
    seeds = {
        "plain.jpg": encode(photo, "JPEG"),
        "rich.jpg": encode(photo, "JPEG", progressive=True, xmp=b"<x:xmpmeta/>", comment=b"a", **rich),
        "cmyk.jpg": encode(photo.convert("CMYK"), "JPEG", icc_profile=srgb),
        "pair.jpg": encode(photo, "MPO", **frames),
        "rgb.png": encode(photo, "PNG", **rich),
        "palette.png": encode(photo.quantize(16), "PNG", transparency=3, icc_profile=icc),
        "alpha.png": encode(clear, "PNG", icc_profile=srgb),
        "one.png": encode(photo.convert("1"), "PNG"),
        "moving.png": encode(photo, "PNG", **frames),
        "lossy.webp": encode(photo, "WEBP", **rich),
        "lossless.webp": encode(clear, "WEBP", lossless=True),
        "moving.webp": encode(photo, "WEBP", **frames),
        "photo.avif": encode(photo, "AVIF", speed=10, **rich),
        "photo.bmp": encode(photo, "BMP"),
        "palette.bmp": encode(photo.quantize(16), "BMP"),
        "still.gif": encode(photo, "GIF"),
        "moving.gif": encode(photo, "GIF", **frames),
        "pages.tif": encode(photo, "TIFF", **frames),
        "deep.png": deep_image(deep, ".png"),
        "deep_grey.png": deep_image(deep[..., 0], ".png"),
        "deep_icc.png": with_chunk(deep_image(deep[..., :3], ".png"), icc_chunk(matrix_profile())),
        "deep.tif": deep_image(deep[..., :3], ".tiff"),
        "deep_grey.tif": deep_image(deep[..., 0], ".tiff"),
    }
    for name in ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"):
        seeds[f"{name}.tif"] = encode(photo, "TIFF", compression=name, icc_profile=matrix_profile())
    seeds["group4.tif"] = encode(photo.convert("1"), "TIFF", compression="group4")
    seeds["cmyk.tif"] = encode(photo.convert("CMYK"), "TIFF")
    seeds["big.tif"] = encode(clear, "TIFF", big_tiff=True)
    return seeds | make_heic(photo)


def make_heic(photo: Image.Image) -> dict[str, bytes]:
    """The same where the extra for it is there."""
    try:
        import pillow_heif
    except ImportError:
        return {}
    pillow_heif.register_heif_opener()
    return {"photo.heic": encode(photo, "HEIF", exif=exif())}


def deep_image(pixels: np.ndarray, extension: str) -> bytes:
    return cv2.imencode(extension, pixels)[1].tobytes()


def with_chunk(image: bytes, extra: bytes) -> bytes:
    return image[:33] + extra + image[33:]


def icc_chunk(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


def matrix_profile(curves: bytes = b"curv\0\0\0\0\0\0\0\1\2\0", colour: float = 0.3) -> bytes:
    """An ICC profile of three primaries and one curve for all of them (ICC.1:2022, 7)."""
    fixed = int(colour * 65536)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    xyz = [b"XYZ \0\0\0\0" + struct.pack(">3i", *(fixed * (1 + (i == j)) for j in range(3))) for i in range(3)]
    tags = [(b"wtpt", white), *zip((b"rXYZ", b"gXYZ", b"bXYZ"), xyz, strict=True)]
    tags += [(name, curves) for name in (b"rTRC", b"gTRC", b"bTRC")]
    at, table, data = 132 + 12 * len(tags), b"", b""
    for name, content in tags:
        content = content.ljust(-(-len(content) // 4) * 4, b"\0")
        table += name + struct.pack(">II", at + len(data), len(content))
        data += content
    head = struct.pack(">I4sI4s4s4s", at + len(data), b"lcms", 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + data


def mutate(data: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """One to four kinds of damage at once."""
    for _ in range(int(rng.integers(1, 5))):
        data = _DAMAGE[int(rng.integers(len(_DAMAGE)))](data, others[int(rng.integers(len(others)))], rng)
    return data


def mutants(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """So many damaged files; each follows from its number and the seed alone."""
    seeds = make_seeds()
    names, files = list(seeds), list(seeds.values())
    for i in range(count):
        name = names[i % len(names)]
        yield f"{seed}.{i}.{name}", mutate(seeds[name], files, np.random.default_rng([seed, i]))


def _place(data: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(max(1, min(len(data), _HEAD) if rng.random() < 0.6 else len(data))))


def _flip(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 12)) if data else 0):
        broken[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(broken)


def _cut(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return data[: _place(data, rng)]


def _number(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    at, width = _place(data, rng), int(rng.choice([1, 2, 4, 8]))
    value = _NUMBERS[int(rng.integers(len(_NUMBERS)))] & (256**width - 1)
    return data[:at] + value.to_bytes(width, "little" if rng.random() < 0.5 else "big") + data[at + width :]


def _range(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    at = _place(data, rng)
    return at, at + int(rng.integers(1, 64))


def _blank(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(data, rng)
    return data[:start] + bytes([int(rng.choice([0, 255]))]) * (end - start) + data[end:]


def _remove(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(data, rng)
    return data[:start] + data[end:]


def _repeat(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    start, end = _range(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 40)) + data[end:]


def _splice(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _blocks(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Damage the blocks of a container and leave their lengths and checksums right."""
    known = next((ways for is_it, *ways in _CONTAINERS if is_it(data)), None)
    if known is None:
        return _flip(data, other, rng)
    split, join = known
    blocks = split(data)
    if len(blocks) < 2:
        return data
    at, to = (int(rng.integers(len(blocks))) for _ in range(2))
    way = int(rng.integers(6))
    if way == 0:
        del blocks[at]
    elif way == 1:
        blocks[at:at] = [blocks[to]] * int(rng.integers(1, 60))
    elif way == 2:
        blocks[at], blocks[to] = blocks[to], blocks[at]
    elif way == 3:
        blocks[at] += join(blocks)[:2000]  # a whole file within a block
    elif way == 4:
        blocks[at] = blocks[at][:4] + (_flip, _number, _remove)[int(rng.integers(3))](blocks[at][4:], other, rng)
    else:
        blocks[at] = blocks[at][:4] + blocks[to][4:]
    return join(blocks)


def _split_png(data: bytes) -> Blocks:
    blocks, at = [], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        blocks.append(data[at + 4 : end])
        at = end + 4
    return blocks


def _join_png(blocks: Blocks) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(block[:4], block[4:]) for block in blocks)


def _split_jpeg(data: bytes) -> Blocks:
    blocks, at = [], 2
    while at + 4 <= len(data) and data[at] == 255 and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        blocks.append(data[at : at + 2] + b"\0\0" + data[at + 4 : end])  # as in others, four bytes are the block's name
        at = end
    return [*blocks, data[at:]]


def _join_jpeg(blocks: Blocks) -> bytes:
    made = b"".join(segment(block[1], block[4:65000]) for block in blocks[:-1] if len(block) > 3)
    return b"\xff\xd8" + made + blocks[-1]


def _split_riff(data: bytes) -> Blocks:
    blocks, at = [], 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        blocks.append(data[at : at + 4] + data[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return blocks


def _join_riff(blocks: Blocks) -> bytes:
    made = b"".join(b[:4] + struct.pack("<I", max(len(b) - 4, 0)) + b[4:] + bytes(len(b) % 2) for b in blocks)
    return b"RIFF" + struct.pack("<I", len(made) + 4) + b"WEBP" + made


def _split_boxes(data: bytes) -> Blocks:
    blocks, at = [], 0
    while at + 8 <= len(data):
        size = max(int.from_bytes(data[at : at + 4], "big"), 8)
        blocks.append(data[at + 4 : at + size])
        at += size
    return blocks


def _join_boxes(blocks: Blocks) -> bytes:
    return b"".join(struct.pack(">I", len(block) + 4) + block for block in blocks)


def _split_tiff(data: bytes) -> Blocks:
    """The entries of the first directory, and last all that is not one."""
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", data, 4)
    if not 8 <= at <= len(data) - 2:
        return []
    (count,) = struct.unpack_from(order + "H", data, at)
    entries = [data[start : start + 12] for start in range(at + 2, min(at + 2 + 12 * count, len(data) - 12), 12)]
    return [*entries, data]


def _join_tiff(blocks: Blocks) -> bytes:
    """The directory anew at the end: so everything else stays where it was."""
    *entries, data = blocks
    order, at = ("<" if data[:2] == b"II" else ">"), len(data)
    entries = [entry[:12].ljust(12, b"\0") for entry in entries]
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack(order + "I", at) + data[8:] + directory


_CONTAINERS: list[tuple[Callable[[bytes], bool], Callable[[bytes], Blocks], Callable[[Blocks], bytes]]] = [
    (lambda data: data[:4] == b"\x89PNG", _split_png, _join_png),
    (lambda data: data[:2] == b"\xff\xd8", _split_jpeg, _join_jpeg),
    (lambda data: data[8:12] == b"WEBP", _split_riff, _join_riff),
    (lambda data: data[4:8] == b"ftyp", _split_boxes, _join_boxes),
    (lambda data: data[:4] in (b"II*\0", b"MM\0*") and len(data) > 8, _split_tiff, _join_tiff),
]
_DAMAGE = (_flip, _flip, _cut, _number, _number, _blank, _remove, _repeat, _splice, *[_blocks] * 6)


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
    yield "fill.jpg", b"\xff\xd8" + b"\xff" * 10_000_000 + jpeg[2:], {"damaged"}
    yield "crumbs.jpg", b"\xff\xd8" + segment(0xFE, b"") * 1_000_000 + jpeg[2:], {"damaged"}
    yield "exif.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 1000 + jpeg[2:], {"too-large"}
    yield "profile.jpg", b"\xff\xd8" + segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(65_000)) * 600, {"too-large"}
    yield "scans.jpg", jpeg[:-2] + jpeg[start:-2] * 1000 + jpeg[-2:], {"damaged"}
    pair = make_seeds()["pair.jpg"]
    at = pair.index(b"\xff\xda")
    scan = b"\xff\xda\0\x08\1\1\0\0\x3f\0" + bytes(50)
    yield "scans_of_pair.jpg", pair[:at] + scan * 1000 + pair[at:], {"damaged"}
    yield "strips.tif", grey_tiff((273, 4, 1 << 21, None), bytes(1 << 23)), {"damaged"}
    overlapping = [(256, 4, 1, 1000), (257, 4, 1, 1000), (278, 4, 1, 999), (273, 4, 60_000, None)]
    yield "overlap.tif", grey_tiff(*overlapping, struct.pack("<I", 8) * 300_000), {"damaged"}
    yield "resolution.tif", grey_tiff((282, 5, 1 << 20, None), b"\1" * (1 << 23)), {"damaged"}
    below = struct.pack("<HHHI", 1, 0x829A, 5, 1 << 18)
    yield "exif.tif", grey_tiff((34665, 4, 1, None), below + b"\0\0\4\0\0\0\0\0" + b"\1" * (1 << 22)), {"damaged"}
    yield "bits.tif", grey_tiff((258, 3, 1 << 22, None), bytes(1 << 23)), {"damaged"}
    yield "loop.tif", grey_tiff((34665, 4, 1, 8), (34853, 4, 1, 8), (330, 4, 1, 8), bytes(5000)), {"ok", "damaged"}
    yield "profile.tif", grey_tiff((34675, 7, 1 << 25, None), bytes(1 << 25)), {"ok"}
    yield "samples.tif", grey_tiff((277, 4, 1, 1 << 31), bytes(5000)), {"damaged"}
    yield "crumbs.gif", _after_palette(bytes(1_000_000)), {"damaged"}
    yield "texts.gif", _after_palette(b"!\xfe\1a\0" * 500_000), {"damaged"}
    yield "packed.bmp", _packed_bmp(b"\0\0" * 1_100_000), {"damaged"}
    first, *others = _split_riff(make_seeds()["lossy.webp"])
    yield "crumbs.webp", _join_riff([first, *[b"abcd"] * 200_000, *others]), {"damaged"}
    yield (
        "narrow.tif",
        grey_tiff((256, 4, 1, 1), (257, 4, 1, 3_000_000), (278, 4, 1, 3_000_000), bytes(3 << 20)),
        {"ok"},
    )


def _flat_webp(side: int) -> bytes:
    """One colour in a few bytes: five codes of one symbol each (RFC 9649, 3.7.2.1.1), and no bits for the pixels."""
    bits, at = 0, 0
    fields = [(0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 1), (0, 3), (0, 1), (0, 1), (0, 1)]
    for value, width in [*fields, *[(1, 1), (0, 1), (0, 1), (0, 1)] * 5]:
        bits |= value << at
        at += width
    return _join_riff([b"VP8L" + bits.to_bytes(-(-at // 8), "little")])


def grey_tiff(*entries: object) -> bytes:
    """A grey TIFF of 64 x 64, with some entries set; None is where the last argument lies, which stands behind."""
    *changed, rest = entries
    tags = {256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    tags |= {277: (3, 1, 1), 278: (4, 1, 64), 279: (4, 1, 4096)}
    tags |= {tag: given for tag, *given in changed}
    behind = tiff_data(len(tags))
    return tiff([(tag, kind, count, behind if at is None else at) for tag, (kind, count, at) in tags.items()], rest)


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
