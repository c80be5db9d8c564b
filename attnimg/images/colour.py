"""Bring pixels into sRGB, the space that the nets were trained in and that screens show, by the image's own ICC profile.

8 bits go through Little CMS (Pillow's ImageCms), relative colorimetric with black point compensation, as photo editors
do. Pillow offers it no 16-bit RGB, so for 16 bits a matrix profile (ICC.1:2022, F.3: curve, matrix, inverse curve) is
applied here: what cameras and editors embed (Adobe RGB, Display P3, ProPhoto RGB) is of that kind.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# The columns are the XYZ of sRGB's red, green and blue, adapted to the D50 that ICC profiles stand on (IEC 61966-2-1).
_SRGB_TO_XYZ = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
_CODES = np.linspace(0, 1, 65536)
_ROWS_AT_ONCE = 256  # bounds the memory that the floats take


class ProfileError(Exception):
    """The embedded profile cannot be used: it is broken, or does not fit the pixels."""


def to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Convert an image of 8 bits to sRGB, mode RGB, without alpha. Raises ProfileError."""
    profile = _open(icc)
    space = profile.profile.xcolor_space.strip()
    grey = image.mode in ("1", "L", "LA")
    if space not in ("GRAY", "RGB", "CMYK") or (space == "GRAY" and not grey):
        raise ProfileError(f"it is one of {space} colours")
    if (space == "CMYK") != (image.mode == "CMYK"):
        raise ProfileError(f"it is one of {space} colours")
    image = image.convert({"GRAY": "L"}.get(space, space))
    transform = _build_transform(icc, image.mode)
    return transform.apply(image) if transform else image


def deep_to_srgb(pixels: NDArray[np.uint16], icc: bytes) -> NDArray[np.uint16]:
    """Convert H x W (grey) or H x W x 3 (RGB) pixels of 16 bits to sRGB. Raises ProfileError, also without a matrix."""
    if _is_srgb(_open(icc)):
        return pixels
    try:
        tags = _read_tags(icc)
        names = (b"k",) if pixels.ndim == 2 else (b"r", b"g", b"b")
        curves = [_read_curve(tags[name + b"TRC"]) for name in names]
        if pixels.ndim == 2:
            return _encode(curves[0])[pixels]
        primaries = np.stack([_read_fixed(tags[name + b"XYZ"][8:20]) for name in names], axis=1)
    except (KeyError, IndexError, ValueError) as error:
        raise ProfileError("it has no curves and matrix") from error
    matrix = np.linalg.solve(_SRGB_TO_XYZ, primaries)
    # Looked up by the square root, which spreads the dark tones over as many entries as the result has codes.
    encoded = _encode(_CODES**2)
    converted = np.empty_like(pixels)
    for top in range(0, len(pixels), _ROWS_AT_ONCE):
        rows = pixels[top : top + _ROWS_AT_ONCE]
        linear = np.stack([curve[rows[..., i]] for i, curve in enumerate(curves)], axis=-1) @ matrix.T
        converted[top : top + _ROWS_AT_ONCE] = encoded[np.rint(np.sqrt(linear.clip(0, 1)) * 65535).astype(np.uint16)]
    return converted


@lru_cache(maxsize=32)
def _build_transform(icc: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """None where there is nothing to convert. Kept, because a folder's photos tend to share one profile."""
    profile = _open(icc)
    if _is_srgb(profile):
        return None
    try:
        return ImageCms.ImageCmsTransform(
            profile,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError) as error:
        raise ProfileError("it does not fit the pixels") from error


def _open(icc: bytes) -> ImageCms.ImageCmsProfile:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except OSError as error:
        raise ProfileError("it is broken") from error


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return (profile.profile.profile_description or "").startswith("sRGB")


def _encode(linear: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Light in [0, 1] to sRGB codes of 16 bits (IEC 61966-2-1)."""
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)
    return np.rint(curve.clip(0, 1) * 65535).astype(np.uint16)


def _read_tags(icc: bytes) -> dict[bytes, bytes]:
    # ICC.1:2022, 7.3: a count at byte 128, then entries of name, offset and size.
    entries = np.frombuffer(icc, ">u4", count=3 * int.from_bytes(icc[128:132], "big"), offset=132).reshape(-1, 3)
    return {
        name.tobytes(): icc[start : start + size] for name, (_, start, size) in zip(entries[:, :1], entries.tolist())
    }


def _read_fixed(data: bytes) -> NDArray[np.float64]:
    return np.frombuffer(data, ">i4") / 65536


def _read_curve(tag: bytes) -> NDArray[np.float64]:
    """Light in [0, 1] for each of the 65536 codes (ICC.1:2022, 10.6 and 10.18)."""
    if tag[:4] == b"curv":
        points = np.frombuffer(tag, ">u2", count=int.from_bytes(tag[8:12], "big"), offset=12)
        if len(points) == 0:
            return _CODES
        if len(points) == 1:
            return _CODES ** (points[0] / 256)
        return np.interp(_CODES, np.linspace(0, 1, len(points)), points / 65535)
    if tag[:4] != b"para":
        raise ValueError(tag[:4])
    kind = int.from_bytes(tag[8:10], "big")
    g, a, b, c, d, e, f = np.pad(_read_fixed(tag[12 : 12 + 4 * (1, 3, 4, 5, 7)[kind]]), (0, 7))[:7]
    if kind == 0:
        a = 1.0
    if kind in (1, 2):
        # The lower part is constant: nothing in type 1, c in type 2.
        return np.where(_CODES >= -b / a, np.maximum(a * _CODES + b, 0) ** g + c, c)
    return np.where(_CODES >= d, np.maximum(a * _CODES + b, 0) ** g + e, c * _CODES + f)
