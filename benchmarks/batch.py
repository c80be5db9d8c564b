"""Measure the three commands on many photos: whether they waste time, and what grows with the number of photos.

    python benchmarks/batch.py                              all three, about an hour on 2 cores
    python benchmarks/batch.py classify --sizes 0.2MP       one of them, at one size
    python benchmarks/batch.py segment --count 20 --growth  fewer photos, and no growth

Each part (decode, net, encode) is measured alone, in this process, by the command's own code, threads and batches; then
the command runs as users run it, less its start-up: the time of the same command on one photo of 64 pixels. On few
cores nothing overlaps for free, so no arrangement of the parts can be faster than the larger of the slowest part's time
and all parts' CPU seconds divided by the cores. What the command does besides the parts (look for files, name and write
them, count areas, hand over between threads) is what its time is compared for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attnimg.jobs.options.common import Compute, count_cores
from measuring import LARGE, SMALL, Cost, make_photos, measure, measure_startup, run_command

import attnimg
from attnimg.cli.main import share_cores
from attnimg.files.find import find
from attnimg.files.outputs import OutputNames
from attnimg.files.source import Source
from attnimg.images.read import read
from attnimg.jobs.classify.job import ClassifyJob
from attnimg.jobs.enhance.job import EnhanceJob
from attnimg.jobs.enhance.names import Files
from attnimg.jobs.enhance.names import Naming as EnhancedNaming
from attnimg.jobs.segment.dataset_files import BatchFiles
from attnimg.jobs.segment.job import Naming as MaskNaming
from attnimg.jobs.segment.job import SegmentJob
from attnimg.jobs.segment.mask_files import Beside, Chosen, Extras
from attnimg.pipeline.journal.journal import Journal

SIZES = {"64": (64, 64), "0.2MP": SMALL, "12MP": LARGE}
AIM_TIME, AIM_MEMORY = 1.15, 1.05


@dataclass(frozen=True)
class Task:
    """What is measured of a command. make_job: as the command does, for outputs in a folder, with its default model.

    encode: of a job, a source, what was read of it and what the net says, make the file or, without one, the record.
    counts: photos, by size. light: see `make_photos`. writes: whether it takes -o.
    """

    make_job: Callable[[Path], Any]
    encode: Callable[[Any, Source, Any, Any], object]
    counts: dict[str, int]
    light: float = 1.0
    writes: bool = True


def make_classify_job(out: Path) -> ClassifyJob:
    """Return what `attnimg classify` runs."""
    return ClassifyJob(attnimg.load("classify", device="cpu"), topk=5, min_score=0, reader=read)


def make_enhance_job(out: Path) -> EnhanceJob:
    """Return what `attnimg enhance` runs."""
    from attnimg.predictors.enhance import Settings

    naming = EnhancedNaming(OutputNames(out), Files(), None, overlay=False)
    return EnhanceJob(attnimg.load("enhance", device="cpu"), Settings(), naming, read)


def make_segment_job(out: Path) -> SegmentJob:
    """Return what `attnimg segment` runs."""
    segmenter, extras = attnimg.load("segment", device="cpu"), Extras()
    beside = Beside(extras, Chosen.of(extras, [c.label for c in segmenter.classes], segmenter.model), overlay=False)
    batch = BatchFiles(None, None, overwrite=False, inputs=(), journal=Journal())
    return SegmentJob(segmenter, MaskNaming(OutputNames(out), None, beside.endings), beside, batch, read)


def encode_file(job: Any, source: Source, ready: Any, outcome: Any) -> object:
    """Make the image file that is written, without writing it."""
    return job.encode(ready, outcome)


TASKS = {
    "classify": Task(
        make_classify_job,
        lambda job, source, ready, outcome: job.write(source, ready, outcome).to_json(),
        {"64": 2000, "0.2MP": 1000, "12MP": 200},
        writes=False,
    ),
    "enhance": Task(make_enhance_job, encode_file, {"64": 400, "0.2MP": 100, "12MP": 8}, light=0.1),
    "segment": Task(make_segment_job, encode_file, {"64": 200, "0.2MP": 100, "12MP": 40}),
}


def measure_parts(task: Task, folder: Path) -> dict[str, Cost]:
    """Decode, predict and encode the photos of a folder, one part after the other."""
    job, compute = task.make_job(folder.parent), Compute()
    sources = list(find([folder]))
    targets = [job.admit(source) for source in sources]
    with ThreadPoolExecutor(compute.threads) as pool:
        ready, decoding = measure(lambda: list(pool.map(job.read, sources, targets)))
        batches = [ready[at : at + compute.batch_size] for at in range(0, len(ready), compute.batch_size)]
        job.predict(ready[:1])  # the first run chooses kernels, and the command's start-up has that
        outcomes, net = measure(lambda: [outcome for batch in batches for outcome in job.predict(batch)])
        _, encoding = measure(
            lambda: sum(1 for _ in pool.map(lambda *image: task.encode(job, *image), sources, ready, outcomes))
        )
    return {"decode": decoding, "net": net, "encode": encoding}


def run(command: str, folder: Path, out: Path) -> Cost:
    """Run the whole command on a folder."""
    return run_command(command, folder, *(["-o", str(out)] if TASKS[command].writes else []))


def print_row(name: str, count: int, cost: Cost) -> None:
    """Print what a number of photos cost."""
    print(f"  {name:18}{cost.wall:9.2f}{cost.cpu:9.2f}{count / cost.wall:10.1f}{1000 * cost.cpu / count:13.2f}")


def report_time(command: str, size: str, count: int | None, folder: Path) -> None:
    """Print each part, the bound that follows from them, and the whole command, all in one run."""
    task, cores = TASKS[command], count_cores()
    count = count or task.counts[size]
    photos, one = folder / "photos", folder / "one"
    make_photos(photos, count, SIZES[size], task.light)
    make_photos(one, 1, SIZES["64"], task.light)
    startup = measure_startup(lambda out: run(command, one, folder / out))
    whole = run(command, photos, folder / "out") - startup
    parts = measure_parts(task, photos)
    cpu = sum(part.cpu for part in parts.values())
    bound = max(*(part.wall for part in parts.values()), cpu / cores)
    print(f"\n{command}, {count} photos of {SIZES[size][0]} x {SIZES[size][1]}, {cores} cores")
    print(f"  {'':18}{'wall s':>9}{'CPU s':>9}{'photos/s':>10}{'CPU ms/photo':>13}")
    for name, cost in {**parts, "whole": whole}.items():
        print_row(name, count, cost)
    print(f"  start-up {startup.wall:.2f} s, bound {bound:.2f} s, peak {whole.peak:.0f} MiB")
    print(f"  whole / bound: {whole.wall / bound:.2f} (aim: at most {AIM_TIME}); CPU / parts': {whole.cpu / cpu:.2f}")


def report_growth(command: str, size: str, counts: list[int], folder: Path) -> None:
    """Print the whole command's time and peak memory for few photos and for many."""
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
    for name in given.commands or TASKS:
        for wanted in given.sizes:
            with TemporaryDirectory() as temporary:
                report_time(name, wanted, given.count, Path(temporary))
        if given.growth:
            with TemporaryDirectory() as temporary:
                report_growth(name, (given.sizes or ["64"])[0], given.growth, Path(temporary))
