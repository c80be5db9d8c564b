"""Measure `attnimg classify`: how close the whole command comes to its own parts, and whether memory stays flat.

    python benchmarks/classify.py             1,000 photos of 500 x 375
    python benchmarks/classify.py --large     200 photos of 12 megapixels
    python benchmarks/classify.py --memory    peak memory for 500 and for 5,000 photos

Each part is measured alone, in this process, with the command's own threads and batches; then the command runs as users
run it, less its start-up: the time of the same command on one photo. On few cores nothing overlaps for free, so no
arrangement of the parts can be faster than the larger of the slowest part's time and all parts' CPU seconds divided by
the cores.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from measuring import LARGE, SMALL, Cost, find_bound, make_photos, measure, print_costs, run_command

import attnimg
from attnimg.cli.options import Compute, count_cores
from attnimg.images.find import find
from attnimg.images.read import read
from attnimg.results import FORMATS, Classified

AIM_TIME, AIM_MEMORY = 1.2, 1.05


def measure_parts(folder: Path, model: str, compute: Compute) -> dict[str, Cost]:
    """Read, predict and print the photos of a folder, one part after the other."""
    predictor = attnimg.load("classify", model=model, device="cpu")
    sources = list(find([folder]))
    with ThreadPoolExecutor(compute.threads) as pool:
        prepared, reading = measure(
            lambda: list(
                pool.map(lambda s: predictor.prepare(read(s, shortest=predictor.shortest).on_white()), sources)
            )
        )
    batches = [prepared[at : at + compute.batch_size] for at in range(0, len(prepared), compute.batch_size)]
    predictor.predict(batches[0])  # the first run of a shape chooses kernels, and the command's start-up has that
    scores, net = measure(lambda: [score for batch in batches for score in predictor.predict(batch)])

    def print_records() -> None:
        with Path(os.devnull).open("w", newline="") as out, FORMATS["jsonl"](out, Classified, 80) as write:
            for source, score in zip(sources, scores, strict=True):
                write(Classified(source.path, predictor.model, predictor.best(score)))

    _, records = measure(print_records)
    return {"read": reading, "net": net, "records": records}


def report_time(folder: Path, model: str) -> None:
    """Print each part, the bound that follows from them, and the whole."""
    compute = Compute()
    cores = count_cores()
    one = min(folder.iterdir())
    run_command("classify", one, model)  # so that neither run below waits for the disk
    startup = run_command("classify", one, model)
    whole = run_command("classify", folder, model)
    parts = measure_parts(folder, model, compute)
    bound, rest = find_bound(parts.values(), cores), whole - startup
    print_costs({**parts, "start-up": startup, "whole without start-up": rest})
    print(f"bound on {cores} cores: {bound:.2f} s, with {compute.threads} threads that read")
    print(f"whole / bound: {rest.wall / bound:.2f} (aim: at most {AIM_TIME})")


def report_memory(folder: Path, model: str) -> None:
    """Print the peak memory of the command for few photos and for many."""
    peaks = []
    for count in (500, 5000):
        photos = folder / str(count)
        photos.mkdir()
        make_photos(photos, count, SMALL)
        peaks.append(run_command("classify", photos, model).peak)
        print(f"{count:5} photos: peak {peaks[-1]:.0f} MiB")
    print(f"ratio: {peaks[1] / peaks[0]:.3f} (aim: at most {AIM_MEMORY})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, help="photos (default: 1000, large ones 200)")
    parser.add_argument("--large", action="store_true", help="photos of 12 megapixels")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--model", default="objects", help="name or path (default: objects)")
    given = parser.parse_args()
    with TemporaryDirectory() as temporary:
        if given.memory:
            report_memory(Path(temporary), given.model)
        else:
            make_photos(Path(temporary), given.count or (200 if given.large else 1000), LARGE if given.large else SMALL)
            report_time(Path(temporary), given.model)
