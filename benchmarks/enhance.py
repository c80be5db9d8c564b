"""Measure `attnimg enhance` on the CPU: the net's seconds per megapixel, and large photos from file to file.

    python benchmarks/enhance.py            the net; 12 and 50 megapixels

Beside the net runs a yardstick, the gamma curve x ** 0.25 in NumPy, which says how fast the machine was at that time.
The command's start-up, which is taken off its seconds, is the time of the same command on a small photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from attnimg.jobs.options.common import count_cores
from measuring import SMALL, make_photos, measure, report_large
from PIL import Image

import attnimg

DARK = 0.1
RUNS = 5
AIM_NET, AIM_LARGE, AIM_MEMORY = 0.5, 8.0, 1536.0  # seconds per megapixel, seconds, MiB


def report_net(folder: Path, model: str) -> None:
    """Print the net's and the yardstick's seconds per megapixel, medians of some runs on one photo of that size."""
    enhancer = attnimg.load("enhance", model=model, device="cpu")
    photo = np.asarray(Image.open(min(folder.iterdir())).resize((1000, 1000)))
    prepared = enhancer.prepare(photo)
    enhancer.predict([prepared])  # chooses kernels
    net = [measure(lambda: enhancer.predict([prepared]))[1].wall for _ in range(RUNS)]
    gamma = [measure(lambda: np.power(photo / np.float32(255), np.float32(0.25)))[1].wall for _ in range(RUNS)]
    seconds, yardstick = float(np.median(net)), float(np.median(gamma))
    print(f"net: {seconds:.3f} s per megapixel on {count_cores()} cores (aim: at most {AIM_NET})")
    print(f"net / gamma curve: {seconds / yardstick:.1f} ({yardstick:.3f} s per megapixel)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="night", help="name or path (default: night)")
    given = parser.parse_args()
    with TemporaryDirectory() as temporary:
        small = Path(temporary) / "small"
        make_photos(small, 1, SMALL, DARK)
        report_large("enhance", Path(temporary) / "large", given.model, DARK)
        print(f"aims: 12 MP in {AIM_LARGE:.0f} s; 12 and 50 MP in {AIM_MEMORY:.0f} MiB")
        report_net(small, given.model)
