"""Photos for the benchmarks, and measurement of time and memory."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

SAMPLES = Path(__file__).parent.parent / "samples"
SMALL, LARGE, HUGE = (500, 375), (4000, 3000), (8660, 5774)  # width, height
DISTINCT = 40  # photos of different content; any further photos are copies of them

# On Linux a process inherits the peak memory of the process that starts it, so a small process starts it.
LAUNCH = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds, CPU seconds of all threads, and a command's peak resident memory in MiB."""

    wall: float
    cpu: float
    peak: float = 0

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu, self.peak)


def make_photos(folder: Path, count: int, size: tuple[int, int], light: float = 1.0) -> None:
    """Write `count` JPEGs of quality 90: the samples at another size, with noise, as noise makes JPEGs large.

    folder: created here. light: factor of each pixel's value.
    """
    folder.mkdir(parents=True)
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
    """Do the work once; return its result and its cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Cost(time.perf_counter() - wall, time.process_time() - cpu)


def run_command(command: str, target: Path, *options: str) -> Cost:
    """Run a whole command of attnimg on a file or folder, on the CPU."""
    words = [sys.executable, "-m", "attnimg", command, str(target), "--device", "cpu", "--quiet"]
    start = time.perf_counter()
    launched = subprocess.run([sys.executable, "-c", LAUNCH, *words, *options], stdout=subprocess.PIPE, check=True)
    wall = time.perf_counter() - start
    status, seconds, peak = launched.stdout.split()
    if int(status):
        raise SystemExit(f"attnimg {command} ended with status {int(status)}.")
    return Cost(wall, float(seconds), int(peak) / 1024)


def measure_startup(run: Callable[[str], Cost]) -> Cost:
    """Measure a command on one small photo; it runs twice, so that the second run does not wait for the disk.

    run: runs the command; it takes the name of a folder for the outputs.
    """
    run("warm-up")
    return run("start-up")


def report_large(command: str, folder: Path, model: str, light: float = 1.0) -> None:
    """Print the cost of photos of 12 and 50 megapixels, from file to file, for a command that writes images."""
    photos = {name: folder / name for name in ("small", "12 MP", "50 MP")}
    for path, size in zip(photos.values(), (SMALL, LARGE, HUGE), strict=True):
        make_photos(path, 1, size, light)
    small = photos.pop("small")
    startup = measure_startup(lambda out: run_command(command, small, "--model", model, "-o", str(folder / out)))
    print(f"{'start-up':10}{startup.wall:8.2f} s, peak {startup.peak:6.0f} MiB")
    for name, path in photos.items():
        out = folder / f"{name} out"
        cost = run_command(command, path, "--model", model, "-o", str(out)) - startup
        with Image.open(next(out.glob("00000.*"))) as written:
            made = f"{written.width} x {written.height}"
        print(f"{name:10}{cost.wall:8.2f} s, peak {cost.peak:6.0f} MiB, makes {made}")
