"""Measure `attnimg segment` on the CPU: the net's seconds per photo, and large photos.

    python benchmarks/segment.py            the net; 12 and 50 megapixels

A plain 3 x 3 convolution is measured as well, as a reference for the speed of the machine at that time. The command's
start-up, the time of the same command on a small photo, is subtracted from its seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measuring import SMALL, make_photos, measure, report_large
from PIL import Image
from torch.nn import functional as F

import attnimg
from attnimg.cli.process import set_up_libraries
from attnimg.runtime import count_cores

SIZE = (480, 360)  # width, height: CamVid's
CHANNELS = 64  # of the reference, in and out, at half of each side: 1.6 GMAC
RUNS = 11
AIM_NET, AIM_LARGE, AIM_MEMORY = 0.15, 20.0, 1536.0  # seconds per photo, seconds, MiB


def report_net(folder: Path, model: str) -> None:
    """Print seconds per photo, medians of some runs: the net with normalization and mask, and the reference."""
    segmenter = attnimg.load("segment", model=model, device="cpu", precision="fp32", resize=None)
    prepared = [segmenter.prepare(np.asarray(Image.open(min(folder.iterdir())).resize(SIZE)))]
    x = torch.rand(1, CHANNELS, SIZE[1] // 2, SIZE[0] // 2).contiguous(memory_format=torch.channels_last)
    kernel = torch.rand(CHANNELS, CHANNELS, 3, 3).contiguous(memory_format=torch.channels_last)
    nets, references = [], []
    with torch.inference_mode():
        for _ in range(1 + RUNS):  # alternating, so that other work slows both alike
            nets.append(measure(lambda: segmenter.predict(prepared))[1].wall)
            references.append(measure(lambda: F.conv2d(x, kernel, padding=1))[1].wall)
    net, reference = (float(np.median(walls[1:])) for walls in (nets, references))  # the first run chooses kernels
    speed = kernel.numel() * x[0, 0].numel() / reference / 1e9
    print(f"net: {net:.3f} s per photo of {SIZE[0]} x {SIZE[1]} on {count_cores()} cores (aim: at most {AIM_NET})")
    print(f"net / convolution: {net / reference:.1f} ({reference:.4f} s, {speed:.0f} GMAC/s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="street", help="name or path (default: street)")
    given = parser.parse_args()
    set_up_libraries()
    with TemporaryDirectory() as temporary:
        small = Path(temporary) / "photos"
        make_photos(small, 1, SMALL)
        report_net(small, given.model)
        report_large("segment", Path(temporary) / "large", given.model)
        print(f"aims: 12 MP in {AIM_LARGE:.0f} s and {AIM_MEMORY:.0f} MiB")
