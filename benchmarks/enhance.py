"""Measure `attnimg enhance` on the CPU: the net's seconds per megapixel, and large photos from file to file.

    python benchmarks/enhance.py            the net; 12 and 50 megapixels

The gamma curve x ** 0.25 in NumPy is measured as well, as a reference for the speed of the machine at that time. The
command's start-up, the time of the same command on a small photo, is subtracted from its seconds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measuring import SMALL, make_photos, measure, report_large
from PIL import Image

import attnimg
from attnimg.cli.process import set_up_libraries
from attnimg.runtime import count_cores

DARK = 0.1
RUNS = 5
AIM_NET, AIM_LARGE, AIM_MEMORY = 0.5, 8.0, 1536.0  # seconds per megapixel, seconds, MiB


def report_net(folder: Path, model: str) -> None:
    """Print the seconds per megapixel of the net and of the reference, medians of some runs on one photo."""
    enhancer = attnimg.load("enhance", model=model, device="cpu")
    photo = np.asarray(Image.open(min(folder.iterdir())).resize((1000, 1000)))
    prepared = enhancer.prepare(photo)
    enhancer.predict([prepared])  # chooses kernels
    net = [measure(lambda: enhancer.predict([prepared]))[1].wall for _ in range(RUNS)]
    gamma = [measure(lambda: np.power(photo / np.float32(255), np.float32(0.25)))[1].wall for _ in range(RUNS)]
    seconds, reference = float(np.median(net)), float(np.median(gamma))
    print(f"net: {seconds:.3f} s per megapixel on {count_cores()} cores (aim: at most {AIM_NET})")
    print(f"net / gamma curve: {seconds / reference:.1f} ({reference:.3f} s per megapixel)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="night", help="name or path (default: night)")
    given = parser.parse_args()
    set_up_libraries()
    with TemporaryDirectory() as temporary:
        small = Path(temporary) / "small"
        make_photos(small, 1, SMALL, DARK)
        report_large("enhance", Path(temporary) / "large", given.model, DARK)
        print(f"aims: 12 MP in {AIM_LARGE:.0f} s; 12 and 50 MP in {AIM_MEMORY:.0f} MiB")
        report_net(small, given.model)
