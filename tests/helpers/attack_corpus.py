"""Hostile files, made from nothing but a seed: damaged ones of every format that is read.

Half of the damage knows the container: blocks are dropped, repeated, swapped, nested or given another's content, and
lengths and checksums are made right again, or else most of it would be turned away at the first one.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np
from PIL import Image, ImageCms

from helpers.container_blocks import CONTAINERS
from helpers.containers import icc_chunk, matrix_profile

_NUMBERS = (0, 1, 2, 7, 8, 12, 13, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_HEAD = 300  # bytes from the start, where the structure of small files is


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
        "deep_gray.png": deep_image(deep[..., 0], ".png"),
        "deep_icc.png": with_chunk(deep_image(deep[..., :3], ".png"), icc_chunk(matrix_profile())),
        "deep.tif": deep_image(deep[..., :3], ".tiff"),
        "deep_gray.tif": deep_image(deep[..., 0], ".tiff"),
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
    known = next((ways for is_it, *ways in CONTAINERS if is_it(data)), None)
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


_DAMAGE = (_flip, _flip, _cut, _number, _number, _blank, _remove, _repeat, _splice, *[_blocks] * 6)
