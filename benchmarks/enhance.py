"""Measure `attnimg enhance` on the CPU: the net's seconds per megapixel, and large photos from file to file.

    python benchmarks/enhance.py            the net, 12 and 50 megapixels; and 100 photos of 500 x 375 against the bound

Beside the net runs a yardstick, the gamma curve x ** 0.25 in NumPy, which says how fast the machine was at that time.
The command's start-up, which is taken off its seconds, is the time of the same command on a small photo.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from measuring import LARGE, SMALL, Cost, find_bound, make_photos, measure, print_costs, run_command
from PIL import Image

import attnimg
from attnimg.cli.options import Compute, count_cores
from attnimg.images.encode import encode
from attnimg.images.find import find
from attnimg.images.read import read
from attnimg.tasks.enhance import Settings

HUGE = (8660, 5774)  # 50 megapixels
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


def report_large(folder: Path, model: str) -> None:
    """Print what photos of 12 and 50 megapixels cost from file to file."""
    costs = {}
    for name, size in {"start-up": SMALL, "12 MP": LARGE, "50 MP": HUGE}.items():
        photos = folder / name
        photos.mkdir()
        make_photos(photos, 1, size, DARK)
        cost = run_command("enhance", photos, model, "-o", str(folder / f"{name} bright"))
        costs[name] = cost - costs["start-up"] if costs else cost
        print(f"{name:10}{costs[name].wall:8.2f} s, peak {cost.peak:6.0f} MiB")
    print(f"aims: 12 MP in {AIM_LARGE:.0f} s; 12 and 50 MP in {AIM_MEMORY:.0f} MiB")


def measure_parts(folder: Path, model: str) -> dict[str, Cost]:
    """Read, enhance and encode the photos of a folder, one part after the other."""
    enhancer, compute = attnimg.load("enhance", model=model, device="cpu"), Compute()
    sources = list(find([folder]))
    with ThreadPoolExecutor(compute.threads) as pool:
        pictures, reading = measure(lambda: list(pool.map(read, sources)))
        prepared, squeezing = measure(lambda: list(pool.map(lambda p: enhancer.prepare(p.pixels), pictures)))
        batches = [prepared[at : at + compute.batch_size] for at in range(0, len(prepared), compute.batch_size)]
        enhancer.predict(batches[0], Settings())
        outcomes, net = measure(lambda: [each for batch in batches for each in enhancer.predict(batch, Settings())])
        formats = [p.format for p in pictures]
        _, encoding = measure(
            lambda: list(
                pool.map(
                    lambda p, o, f: encode(o.pixels, None, format=f, metadata=p.metadata), pictures, outcomes, formats
                )
            )
        )
    return {"read": reading, "squeeze": squeezing, "net": net, "encode": encoding}


def report_time(folder: Path, model: str) -> None:
    """Print each part, the bound that follows from them, and the whole command."""
    one, out = min(folder.iterdir()), folder.parent
    run_command("enhance", one, model, "-o", str(out / "warm"))
    startup = run_command("enhance", one, model, "-o", str(out / "one"))
    rest = run_command("enhance", folder, model, "-o", str(out / "all")) - startup
    parts = measure_parts(folder, model)
    bound = find_bound(parts.values(), count_cores())
    print_costs({**parts, "start-up": startup, "whole without start-up": rest})
    print(f"whole / bound: {rest.wall / bound:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="small photos (default: 100)")
    parser.add_argument("--model", default="night", help="name or path (default: night)")
    given = parser.parse_args()
    with TemporaryDirectory() as temporary:
        small = Path(temporary) / "small"
        small.mkdir()
        make_photos(small, given.count, SMALL, DARK)
        report_large(Path(temporary), given.model)
        report_net(small, given.model)
        report_time(small, given.model)
