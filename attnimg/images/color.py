"""Convert pixels from an image's ICC profile to sRGB, the space of screens and of the nets' training data, and back.

Little CMS (Pillow's ImageCms) converts 8 bits: relative colorimetric with black point compensation, as in editors.
Pillow does not pass 16-bit RGB to it. For 16 bits, matrix profiles (ICC.1:2022, F.3: curve, matrix, inverse curve) are
applied here. The profiles of cameras and editors (Adobe RGB, Display P3, ProPhoto RGB) are of that kind.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from attnimg.images.pixels import Pixels, row_bands

Table: TypeAlias = NDArray[np.floating]

# Columns: XYZ of sRGB's red, green and blue, adapted to D50, the white of ICC profiles (IEC 61966-2-1).
_SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_CODES = np.linspace(0, 1, 65536)
_LARGEST = 1 << 24  # bytes of a profile; the largest ones, of printers, have a few million
_BRIGHTEST = 100  # in linear light, where 1 is white; valid curves stay far below
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
_SHAPES = {"GRAY": (), "RGB": (3,), "CMYK": (4,)}


class ProfileError(Exception):
    """The profile cannot be used: it is broken, or for other pixels. The message is the reason, a clause."""


def to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Convert an image of 8 bits to sRGB, of mode RGB or L and without alpha. Raises ProfileError."""
    mode, transform = _build_transform(icc, image.mode)
    image = image.convert(mode)
    return transform.apply(image) if transform else image


def srgb_from_16bit(pixels: NDArray[np.uint16], icc: bytes) -> NDArray[np.uint16]:
    """Convert H x W (gray) or H x W x 3 (RGB) pixels of 16 bits to sRGB by a matrix profile. Raises ProfileError."""
    if _build_transform(icc, "L" if pixels.ndim == 2 else "RGB")[1] is None:
        return pixels
    curves, matrix = _read_matrix(icc, "GRAY" if pixels.ndim == 2 else "RGB")
    if pixels.ndim == 2:
        return _encode(curves[0])[pixels]
    converted, luts = np.empty_like(pixels), [_encode(_CODES**2)] * 3
    for rows in row_bands(*pixels.shape[:2]):
        converted[rows] = _convert(pixels[rows], curves, matrix, luts)
    return converted


def is_other_rgb(icc: bytes, mode: str) -> bool:
    """Whether a profile can be used for images of a mode, and is for RGB other than sRGB."""
    try:
        kind, transform = _build_transform(icc, mode)
    except ProfileError:
        return False
    return kind == "RGB" and transform is not None


def from_srgb(pixels: Pixels, icc: bytes, original: Sequence[Pixels] = ()) -> Pixels:
    """Convert H x W x 3 sRGB pixels of 8 or 16 bits to a profile: H x W (gray), H x W x 3 (RGB) or H x W x 4 (CMYK).

    original: for an RGB profile, the stored pixels and their sRGB values before processing, with shape and type of
    `pixels`. The difference between new and old sRGB values is then added to the stored pixels, in place. So colors
    outside sRGB are kept.

    Returns `pixels` itself for sRGB. Raises ProfileError, also if the profile cannot be inverted.
    """
    space = space_of(icc)
    if space != "CMYK" and _build_transform(icc, _MODES[space])[1] is None:
        return to_gray(pixels) if space == "GRAY" else pixels
    convert = _build_16bit_inverse(icc, space) if pixels.dtype == np.uint16 else _build_inverse(icc, space)
    if not original:
        converted = np.empty(pixels.shape[:2] + _SHAPES[space], pixels.dtype)
        for rows in row_bands(*pixels.shape[:2]):
            converted[rows] = convert(pixels[rows])
        return converted
    stored, old = original
    for rows in row_bands(*pixels.shape[:2]):
        change = convert(pixels[rows]).astype(np.int32) - convert(old[rows])
        stored[rows] = (stored[rows] + change).clip(0, np.iinfo(stored.dtype).max)
    return stored


def to_gray(pixels: Pixels) -> Pixels:
    """Return the luma, H x W, of H x W x 3 pixels; gray pixels keep their value."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), pixels.dtype)


def space_of(icc: bytes) -> str:
    """Return the color space of a profile: GRAY, RGB or CMYK. Raises ProfileError for others."""
    space = _open(icc).profile.xcolor_space.strip()
    if space not in _MODES:
        raise ProfileError(f"it is for {space} pixels" if space.isalnum() else "it is for no known pixels")
    return str(space)


def _convert(
    pixels: Pixels, linearize_luts: Sequence[Table], matrix: Table, encode_luts: Sequence[NDArray[np.uint16]]
) -> NDArray[np.uint16]:
    """Linearize H x W x 3 codes, apply the matrix, and encode the result.

    encode_luts: tables over the square root of linear light, which gives dark tones enough entries.
    """
    linear = np.stack([lut[pixels[..., i]] for i, lut in enumerate(linearize_luts)], axis=-1) @ matrix.T
    roots = np.rint(np.sqrt(linear.clip(0, 1)) * 65535).astype(np.uint16)
    return np.stack([table[roots[..., i]] for i, table in enumerate(encode_luts)], axis=-1)


@lru_cache(maxsize=8)
def _build_transform(icc: bytes, mode: str) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Return the mode of a profile's pixels, and its transform, None for sRGB. Cached: photos often share a profile."""
    space = space_of(icc)
    is_gray = mode in ("1", "L", "LA")
    if (space == "CMYK") != (mode == "CMYK") or (space == "GRAY" and not is_gray):
        raise ProfileError(f"it is for {space} pixels")
    transform = _link(_open(icc), _srgb(), _MODES[space], "RGB")
    return _MODES[space], None if _is_identity(transform, _MODES[space]) else transform


@lru_cache(maxsize=8)
def _build_inverse(icc: bytes, space: str) -> Callable[[Pixels], Pixels]:
    transform = _link(_srgb(), _open(icc), "RGB", _MODES[space])
    return lambda pixels: np.asarray(transform.apply(Image.fromarray(pixels)))


def _build_16bit_inverse(icc: bytes, space: str) -> Callable[[Pixels], Pixels]:
    curves, matrix = _read_matrix(icc, space)
    if space == "GRAY":
        codes = _invert(curves[0], _decode(_CODES))
        return lambda pixels: codes[to_gray(pixels)]
    try:
        back = np.linalg.inv(matrix)
    except np.linalg.LinAlgError as error:
        raise ProfileError("its matrix has no inverse") from error
    linear, tables = [_decode(_CODES)] * 3, [_invert(curve, _CODES**2) for curve in curves]
    return lambda pixels: _convert(pixels, linear, back, tables)


def _link(
    source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile, before: str, after: str
) -> ImageCms.ImageCmsTransform:
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        return ImageCms.ImageCmsTransform(source, target, before, after, intent, flags=flags)
    except (OSError, ValueError) as error:
        raise ProfileError("it cannot be applied") from error


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _open(icc: bytes) -> ImageCms.ImageCmsProfile:
    if len(icc) > _LARGEST:
        raise ProfileError("it is larger than profiles are")
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except OSError as error:
        raise ProfileError("it is broken") from error


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the profile is sRGB, by trial: its name is not reliable. Rounding causes differences up to 2 of 255."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(27, 27, 3)).convert(mode)
    before, after = np.array(cube.convert("RGB"), int), np.array(transform.apply(cube), int)
    return bool(np.abs(after - before).max() <= 2)


def _encode(light: Table) -> NDArray[np.uint16]:
    """Encode linear light in [0, 1] as sRGB codes of 16 bits (IEC 61966-2-1)."""
    light = light.clip(0, 1)
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(codes * 65535), np.uint16)


def _decode(codes: Table) -> Table:
    """Decode sRGB codes in [0, 1] to linear light: the inverse of `_encode`."""
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def _invert(curve: Table, light: Table) -> NDArray[np.uint16]:
    """Return the codes of 16 bits at which a curve reaches the light. Raises ProfileError unless it is monotonic."""
    if not ((np.diff(curve) >= 0).all() and curve[0] < curve[-1] < np.inf):
        raise ProfileError("its curves have no inverse")
    return np.asarray(np.rint(np.interp(light, curve, _CODES) * 65535), np.uint16)


def _read_matrix(icc: bytes, space: str) -> tuple[list[Table], Table]:
    """Return the curves of a matrix profile (one for gray), and its matrix to linear sRGB. Raises ProfileError."""
    try:
        tags = _read_tags(icc)
        if space == "GRAY":
            return [_read_curve(tags.get(b"kTRC") or tags[b"rTRC"])], np.eye(1)
        curves = [_read_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]
        primaries = np.stack([_read_numbers(tags[name][8:20]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1)
        return curves, np.linalg.solve(_SRGB_TO_XYZ, primaries)
    except (LookupError, ValueError, ArithmeticError, struct.error) as error:
        raise ProfileError("it holds no curves and matrix") from error


def _read_tags(icc: bytes) -> dict[bytes, bytes]:
    # ICC.1:2022, 7.3: a count at byte 128, then entries of name, offset and size.
    entries = struct.iter_unpack(">4sII", icc[132 : 132 + 12 * int.from_bytes(icc[128:132], "big")])
    return {name: icc[start : start + size] for name, start, size in entries}


def _read_numbers(data: bytes) -> Table:
    return np.frombuffer(data, ">i4") / 65536


def _read_curve(tag: bytes) -> Table:
    """Return linear light for each of the 65536 codes, in [0, 1] or slightly more (ICC.1:2022, 10.6 and 10.18)."""
    with np.errstate(all="ignore"):
        curve = _compute_curve(tag)
    if not np.abs(curve).max() < _BRIGHTEST:  # false for NaN, too
        raise ValueError("no curve")
    return curve


def _compute_curve(tag: bytes) -> Table:
    if tag[:4] == b"curv":
        points = np.frombuffer(tag, ">u2", count=int.from_bytes(tag[8:12], "big"), offset=12)
        if len(points) < 2:
            return _CODES ** (int(points[0]) / 256 if len(points) else 1)
        return np.interp(_CODES, np.linspace(0, 1, len(points)), points / 65535)
    if tag[:4] != b"para":
        raise ValueError(tag[:4])
    kind = int.from_bytes(tag[8:10], "big")
    numbers = _read_numbers(tag[12 : 12 + 4 * (1, 3, 4, 5, 7)[kind]])
    g, a, b, c, d, e, f = np.pad(numbers, (0, 7 - len(numbers))).tolist()
    # Types 0 to 2 in the terms of type 4: (a x + b)^g + e from d on, c x + f below.
    if kind == 0:
        a = 1.0
    elif kind < 3:
        c, d, e, f = 0.0, -b / a, c, c
    x = _CODES
    return np.asarray(np.where(x < d, c * x + f, np.maximum(a * x + b, 0) ** g + e), np.float64)
