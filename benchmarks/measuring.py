"""What the benchmarks of all commands share: photos to work on, and what work costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).parent.parent / "samples"
SMALL, LARGE = (500, 375), (4000, 3000)  # width, height
DISTINCT = 40  # photos of different content; more are copies of them, as only the number of files then matters

# Linux counts the peak memory of the process that starts another against that one, so a small process starts it.
LAUNCH = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, CPU seconds of all threads, and, of a command, its peak resident memory in MiB."""

    wall: float
    cpu: float
    peak: float = 0

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu, self.peak)


def make_photos(folder: Path, count: int, size: tuple[int, int], light: float = 1.0) -> None:
    """Write `count` JPEGs, quality 90: the samples at another size, with noise, which is what fills JPEGs.

    light: share of each pixel's code that is left.
    """
    samples = [Image.open(path) for path in sorted(SAMPLES.iterdir()) if path.suffix in (".jpg", ".png")]
    random = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"{i:05}.jpg"
        if i >= DISTINCT:
            shutil.copyfile(folder / f"{i % DISTINCT:05}.jpg", path)
            continue
        photo = np.asarray(samples[i % len(samples)].convert("RGB").resize(size)) * np.float32(light)
        noise = random.standard_normal(photo.shape, np.float32) * 6
        Image.fromarray(np.clip(photo + noise, 0, 255).astype(np.uint8)).save(path, quality=90)


def measure(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do the work once, and say what it cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Cost(time.perf_counter() - wall, time.process_time() - cpu)


def run_command(command: str, target: Path, model: str, *options: str) -> Cost:
    """Run a whole command of attnimg on a file or folder, on the CPU."""
    words = [sys.executable, "-m", "attnimg", command, str(target), "--device", "cpu", "--model", model, "--quiet"]
    start = time.perf_counter()
    launched = subprocess.run([sys.executable, "-c", LAUNCH, *words, *options], stdout=subprocess.PIPE, check=True)
    wall = time.perf_counter() - start
    status, seconds, peak = launched.stdout.split()
    if int(status):
        raise SystemExit(f"attnimg {command} ended with status {int(status)}.")
    return Cost(wall, float(seconds), int(peak) / 1024)


def find_bound(parts: Iterable[Cost], cores: int) -> float:
    """Return the seconds below which no order of work brings the whole, on so many cores."""
    parts = list(parts)
    return max(*(part.wall for part in parts), sum(part.cpu for part in parts) / cores)


def print_costs(costs: dict[str, Cost]) -> None:
    """Print a row for each."""
    print(f"{'':24}{'wall s':>8}{'CPU s':>8}")
    for name, cost in costs.items():
        print(f"{name:24}{cost.wall:8.2f}{cost.cpu:8.2f}")
