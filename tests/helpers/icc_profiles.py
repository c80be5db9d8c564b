"""ICC profiles, made as cameras, scanners and printers have them."""

from __future__ import annotations

import struct

import numpy as np
from PIL import ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
P3 = {b"rXYZ": (0.51512, 0.2412, -0.00105), b"gXYZ": (0.29198, 0.69225, 0.04189), b"bXYZ": (0.1571, 0.06657, 0.78407)}


def make_profile(gamma: float, primaries: dict[bytes, tuple[float, ...]]) -> bytes:
    icc = bytearray(SRGB)
    tags = {bytes(icc[at : at + 4]): at for at in range(132, 132 + 12 * icc[131], 12)}
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        start = int.from_bytes(icc[tags[name] + 4 : tags[name] + 8], "big")
        icc[start : start + 16] = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))
        icc[tags[name] + 8 : tags[name] + 12] = struct.pack(">I", 14)
    for name, xyz in primaries.items():
        start = int.from_bytes(icc[tags[name] + 4 : tags[name] + 8], "big")
        icc[start + 8 : start + 20] = struct.pack(">3i", *(round(v * 65536) for v in xyz))
    return bytes(icc)


def make_gray_profile(gamma: float) -> bytes:
    icc = bytearray(make_profile(gamma, {}))
    icc[16:20] = b"GRAY"
    at = icc.index(b"gTRC")
    icc[at : at + 4] = b"kTRC"
    return bytes(icc)


def make_cmyk_profile(has_return: bool = True) -> bytes:
    """A printer's profile whose tables say that paper less ink is light, by Lab's L only: black ink alone is used."""

    def table(inputs: int, outputs: int, points: np.ndarray) -> bytes:
        grid = round(len(points) ** (1 / inputs))
        ramp = bytes(range(256))
        head = (
            b"mft1"
            + bytes(4)
            + bytes([inputs, outputs, grid, 0])
            + struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).flat)
        )
        return head + ramp * inputs + points.astype(np.uint8).tobytes() + ramp * outputs

    inks = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    to_lab = np.stack([255 * (1 - inks[:, 3]), *[np.full(16, 128)] * 2], -1)
    lab = np.stack(np.meshgrid(*[np.linspace(0, 1, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    to_inks = np.stack([*[np.zeros(27)] * 3, 255 * (1 - lab[:, 0])], -1)
    tags = {b"A2B0": table(4, 3, to_lab), b"A2B1": table(4, 3, to_lab)}
    if has_return:
        tags |= {b"B2A0": table(3, 4, to_inks), b"B2A1": table(3, 4, to_inks)}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    at, entries, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"prtrCMYKLab ", b"acsp"
    head[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    head[:4] = struct.pack(">I", at + len(body))
    return bytes(head) + struct.pack(">I", len(tags)) + entries + body
