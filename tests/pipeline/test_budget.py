"""The budget: pixels that are being read and held stay within it, whatever files promise."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from helpers.number_job import NumberJob, fail_for, make_sources, nap, paths, run

from attnimg.files.source import Source
from attnimg.pipeline.budget import Budget, Estimate
from attnimg.records import Failed

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def test_pixels_bound_what_is_read_and_held() -> None:
    job = NumberJob({"read": nap, "write": nap})
    run(make_sources(200), job, batch_size=2, workers=4, pixels=800)
    assert 400 <= job.most_held <= 800


def test_images_larger_than_the_budget_go_one_by_one() -> None:
    job = NumberJob({"read": nap, "write": nap}, pixels=lambda _: 1000)
    assert len(run(make_sources(20), job, workers=4, pixels=800)) == 20
    assert job.most_held == 1000
    assert set(map(len, job.batches)) == {1}


def sized(count: int, size: int, first: int = 0) -> list[Source]:
    """Sources of so many bytes each."""
    return [replace(source, data=bytes(size)) for source in make_sources(first + count)[first:]]


def observe_reading() -> tuple[Callable[[int], None], list[set[int]]]:
    """Return a station that takes a moment, and all that are there together, each time that one comes."""
    reading: set[int] = set()
    together: list[set[int]] = []

    def read(number: int) -> None:
        reading.add(number)
        together.append(set(reading))
        time.sleep(0.003)
        reading.discard(number)

    return read, together


def test_files_of_a_size_not_seen_before_are_read_alone() -> None:
    read, together = observe_reading()
    job = NumberJob({"read": read}, pixels=lambda number: 10 if number < 40 else 700)
    run([*sized(40, 1000), *sized(20, 100_000, 40)], job, batch_size=4, workers=4, pixels=800)
    assert max(map(len, together)) > 1
    assert {0} in together
    assert [numbers for numbers in together if max(numbers) >= 40] == [{number} for number in range(40, 60)]
    assert job.most_held < 800 + 700


def headed(sources: list[Source], width: int, height: int) -> list[Source]:
    """The same as PNGs that end behind their header, of as many bytes."""
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5B4x", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
    return [replace(source, data=header + (source.data or b"")[len(header) :]) for source in sources]


@pytest.mark.parametrize("kept", [1, 0.001], ids=["whole", "reduced"])
def test_giants_among_small_ones_of_as_many_bytes_are_read_one_by_one(kept: float) -> None:
    read, together = observe_reading()
    job = NumberJob({"read": read}, pixels=lambda number: int((100 if number < 40 else 700) * kept))
    sources = [*headed(sized(40, 1000), 10, 10), *headed(sized(16, 1000, 40), 70, 10)]
    assert paths(run(sources, job, workers=4, pixels=800)) == [source.path for source in sources]
    assert max(map(len, together)) == 4
    assert [len(numbers & {*range(40, 56)}) for numbers in together if max(numbers) >= 40] == [1] * 16
    assert job.most_held <= 800


def test_what_a_job_makes_of_images_counts_for_the_next_ones() -> None:
    job = NumberJob({"read": nap, "write": nap}, pixels=lambda _: 300)
    run(headed(sized(40, 1000), 10, 10), job, batch_size=1, workers=1, pixels=350)
    assert job.most_held <= 600  # two were admitted before the first one was known to become 300 of 100


def test_one_giant_is_soon_forgotten() -> None:
    budget, size = Budget(800), Estimate(None, 7)
    alone = []
    for pixels in (10_000, *[10] * 40):
        budget.settle(size, budget.expect(size), pixels)
        alone.append(not budget.has_room(size))
        budget.release(pixels)
    assert alone == sorted(alone, reverse=True)
    assert 10 < sum(alone) < 25
    assert (budget.held, budget.expected) == (0, 0)


def test_files_that_cannot_be_read_leave_the_budget() -> None:
    def read(number: int) -> None:
        nap(number)
        fail_for(*range(30))(number)

    job = NumberJob({"read": read})
    records = run(make_sources(90), job, pixels=300, workers=4)
    assert [isinstance(record, Failed) for record in records] == [True] * 30 + [False] * 60
    assert 100 < job.most_held <= 300
