"""Measure the three commands on many photos: time lost between their parts, and growth with the number of photos.

    python benchmarks/batch.py                              all three, about an hour on 2 cores
    python benchmarks/batch.py classify --sizes 0.2MP       one of them, at one size
    python benchmarks/batch.py segment --count 20 --growth  fewer photos, and no growth

Each part (decode, net, encode) is measured alone, in this process, with the command's own code, threads and batches.
Then the command runs as users run it; its start-up, the time of the same command on one photo of 64 pixels, is
subtracted. No arrangement of the parts can be faster than the slowest part, nor than the CPU seconds of all parts
divided by the cores. The command's time relative to this bound shows the cost of everything else: it finds files,
names and writes them, counts areas, and passes images between threads.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measuring import LARGE, SMALL, Cost, make_photos, measure, measure_startup, run_command

from attnimg.cli.process import set_up_libraries
from attnimg.jobs.run import open_batch
from attnimg.models.registry import find_task
from attnimg.options.option import build_options
from attnimg.runtime import count_cores, share_cores

SIZES = {"64": (64, 64), "0.2MP": SMALL, "12MP": LARGE}
AIM_TIME, AIM_MEMORY = 1.15, 1.05


@dataclass(frozen=True)
class Task:
    """A command that is measured.

    counts: numbers of photos, by size. encode: makes the output without writing it, from a job, a source, what its
    `read` returned, and an outcome of its `predict`. light: see `make_photos`. writes: whether -o is given.
    """

    counts: dict[str, int]
    encode: Callable[[Any, Any, Any, Any], object] = lambda job, source, ready, outcome: job.encode(ready, outcome)
    light: float = 1.0
    writes: bool = True


TASKS = {
    "classify": Task(
        {"64": 2000, "0.2MP": 1000, "12MP": 200},
        encode=lambda job, source, ready, outcome: job.write(source, ready, outcome).to_json(),  # writes no file
        writes=False,
    ),
    "enhance": Task({"64": 400, "0.2MP": 100, "12MP": 8}, light=0.1),
    "segment": Task({"64": 200, "0.2MP": 100, "12MP": 40}),
}


def measure_parts(command: str, folder: Path) -> dict[str, Cost]:
    """Decode, predict and encode the photos of a folder, one part after the other."""
    task, kind = TASKS[command], find_task(command).options.load()
    output = {"output": folder.parent / "parts"} if task.writes else {}
    options = build_options(kind, inputs=[folder], device="cpu", **output)
    compute = options.compute
    with open_batch(command, options) as batch, ThreadPoolExecutor(compute.threads) as pool:
        job = batch.build()
        sources = [replace(source, probe=batch.reader.probe(source)) for source in batch.queue]
        outputs = [job.admit(source) for source in sources]
        ready, decoding = measure(lambda: list(pool.map(job.read, sources, outputs)))
        batches = [ready[at : at + compute.batch_size] for at in range(0, len(ready), compute.batch_size)]
        job.predict(ready[:1])  # the first run chooses kernels, and the command's start-up includes that
        outcomes, net = measure(lambda: [outcome for part in batches for outcome in job.predict(part)])
        _, encoding = measure(
            lambda: sum(1 for _ in pool.map(lambda *image: task.encode(job, *image), sources, ready, outcomes))
        )
    return {"decode": decoding, "net": net, "encode": encoding}


def run(command: str, folder: Path, out: Path) -> Cost:
    """Run the whole command on a folder."""
    return run_command(command, folder, *(["-o", str(out)] if TASKS[command].writes else []))


def print_row(name: str, count: int, cost: Cost) -> None:
    """Print the cost of a number of photos."""
    print(f"  {name:18}{cost.wall:9.2f}{cost.cpu:9.2f}{count / cost.wall:10.1f}{1000 * cost.cpu / count:13.2f}")


def report_time(command: str, size: str, count: int | None, folder: Path) -> None:
    """Print the costs of each part and of the whole command, and their ratio to the bound."""
    task, cores = TASKS[command], count_cores()
    count = count or task.counts[size]
    photos, one = folder / "photos", folder / "one"
    make_photos(photos, count, SIZES[size], task.light)
    make_photos(one, 1, SIZES["64"], task.light)
    startup = measure_startup(lambda out: run(command, one, folder / out))
    whole = run(command, photos, folder / "out") - startup
    parts = measure_parts(command, photos)
    cpu = sum(part.cpu for part in parts.values())
    bound = max(*(part.wall for part in parts.values()), cpu / cores)
    print(f"\n{command}, {count} photos of {SIZES[size][0]} x {SIZES[size][1]}, {cores} cores")
    print(f"  {'':18}{'wall s':>9}{'CPU s':>9}{'photos/s':>10}{'CPU ms/photo':>13}")
    for name, cost in {**parts, "whole": whole}.items():
        print_row(name, count, cost)
    print(f"  start-up {startup.wall:.2f} s, bound {bound:.2f} s, peak {whole.peak:.0f} MiB")
    print(f"  whole / bound: {whole.wall / bound:.2f} (aim: at most {AIM_TIME}); CPU / parts': {whole.cpu / cpu:.2f}")


def report_growth(command: str, size: str, counts: list[int], folder: Path) -> None:
    """Print the time and peak memory of the whole command for several numbers of photos."""
    print(f"\n{command}, growth with the number of photos of {SIZES[size][0]} x {SIZES[size][1]}")
    print(f"  {'photos':>9}{'wall s':>9}{'CPU s':>9}{'ms/photo':>10}{'peak MiB':>10}")
    peaks = []
    for count in counts:
        photos = folder / str(count)
        make_photos(photos, count, SIZES[size], TASKS[command].light)
        cost = run(command, photos, folder / f"{count} out")
        peaks.append(cost.peak)
        print(f"  {count:9}{cost.wall:9.2f}{cost.cpu:9.2f}{1000 * cost.wall / count:10.2f}{cost.peak:10.0f}")
    if len(peaks) > 1:
        print(f"  peak of the last / the one before: {peaks[-1] / peaks[-2]:.3f} (aim: at most {AIM_MEMORY})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"of {', '.join(TASKS)}; default: all")
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES), help="of the photos (default: all)")
    parser.add_argument("--count", type=int, help="photos of each size (default: by command and size)")
    parser.add_argument(
        "--growth",
        nargs="*",
        type=int,
        default=[100, 1000, 10000],
        help="numbers of photos, of the first size, whose time and memory are compared (default: 100 1000 10000)",
    )
    given = parser.parse_args()
    if unknown := set(given.commands) - TASKS.keys():
        parser.error(f"there is no command {unknown.pop()!r}; name some of: {', '.join(TASKS)}")
    share_cores()
    set_up_libraries()
    for name in given.commands or TASKS:
        for wanted in given.sizes:
            with TemporaryDirectory() as temporary:
                report_time(name, wanted, given.count, Path(temporary))
        if given.growth:
            with TemporaryDirectory() as temporary:
                report_growth(name, (given.sizes or ["64"])[0], given.growth, Path(temporary))
