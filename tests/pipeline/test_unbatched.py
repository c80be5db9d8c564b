"""Inputs that cannot be batched, such as videos: each in its turn, and none at the expense of the batches."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import PurePath

import pytest
from helpers.number_job import NumberJob, fail_for, make_sources, paths, run

from attnimg.files.source import Probe, Source
from attnimg.pipeline.stream import stream
from attnimg.records import Classified, Failed, Skipped

pytestmark = [pytest.mark.usefixtures("no_thread_is_left"), pytest.mark.timeout(30)]


def log_steps(job: NumberJob, before: Callable[[int], object] = lambda _: None) -> list[int | list[int]]:
    """Return the list to which a job adds each batch, sorted, and each number that is processed alone.

    before: called with each of the latter first.
    """
    steps: list[int | list[int]] = []

    def process(number: int) -> None:
        before(number)
        steps.append(number)

    job.at = {**job.at, "process": process}
    job.check = lambda batch: steps.append(sorted(batch))
    return steps


def hold_first(reads: int) -> tuple[Callable[[int], None], Callable[[int], None]]:
    """Return two stations: `process`, where 0 waits until so many images were read, and their `read`, by one worker."""
    begun, all_read = itertools.count(), threading.Event()

    def process(number: int) -> None:
        if number == 0:
            all_read.wait(10)

    def read(_: int) -> None:
        if next(begun) == reads:  # begun, so the ones before are in their batches
            all_read.set()

    return process, read


def test_they_are_processed_in_order_on_the_calling_thread() -> None:
    threads: list[threading.Thread] = []
    job = NumberJob({"process": lambda _: threads.append(threading.current_thread())}, unbatched={0, 3, 4, 9})
    assert run(make_sources(10), job) == [Classified(str(i), str(-i), ()) for i in range(10)]
    assert threads == [threading.current_thread()] * 4
    assert sorted(itertools.chain(*job.batches)) == [1, 2, 5, 6, 7, 8]


def test_they_are_admitted_like_others_and_not_probed() -> None:
    probed: list[str] = []
    processed: list[int] = []

    def probe(source: Source) -> Probe:
        probed.append(source.path)
        return Probe("PNG", 100)

    job = NumberJob({"admit": lambda number: number == 1, "process": processed.append}, unbatched={1, 2})
    records = run(make_sources(4), job, probe=probe)
    assert (job.admitted, records[1]) == (4, Skipped("1", "there"))
    assert (probed, processed) == (["0", "3"], [2])


def test_their_failures_are_records() -> None:
    def fail(number: int) -> None:
        fail_for(1)(number)
        fail_for(2, error=MemoryError())(number)

    records = run(make_sources(5), NumberJob({"process": fail}, unbatched={1, 2, 3}))
    assert paths(records) == ["0", "1", "2", "3", "4"]
    failures = [(record.path, record.kind) for record in records if isinstance(record, Failed)]
    assert failures == [("1", "damaged"), ("2", "out-of-memory")]


def test_ctrl_c_propagates_at_once() -> None:
    done: list[int] = []

    def interrupt(_: int) -> None:
        done.append(len(steps))
        raise KeyboardInterrupt

    job = NumberJob(unbatched={4, 5})
    steps = log_steps(job, interrupt)
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(record.path for record in stream(make_sources(30), job, batch_size=4, workers=3))
    assert seen == ["0", "1", "2", "3"]
    assert done == [len(steps)], "nothing was predicted or processed afterwards"


def test_their_progress_is_told() -> None:
    told: list[str] = []
    run(make_sources(5), NumberJob(unbatched={1, 3}), tell=told.append)
    assert told == ["at 1", "at 3"]


def test_images_before_them_do_not_wait_for_them() -> None:
    """Not even those whose batch still waits for others."""
    job = NumberJob(unbatched={2, 3})
    steps = log_steps(job)
    endless = (Source(str(i), PurePath(str(i))) for i in itertools.count())
    with closing(stream(endless, job, batch_size=600, workers=2, window=300, patience=1e6)) as records:
        assert paths(itertools.islice(records, 4)) == ["0", "1", "2", "3"]
    assert isinstance(steps[0], list)
    assert steps[0][:2] == [0, 1]
    assert [step for step in steps if isinstance(step, int)] == [2, 3]


def test_batches_behind_a_run_of_them_are_not_kept_waiting_by_it() -> None:
    process, read = hold_first(4)
    job = NumberJob({"read": read}, unbatched=range(6))
    steps = log_steps(job, process)
    assert len(run(make_sources(11), job, workers=1)) == 11
    assert steps[:3] == [0, [6, 7, 8, 9], 1]


def test_a_run_of_them_is_not_kept_waiting_by_batches_behind_it() -> None:
    process, read = hold_first(40)
    job = NumberJob({"read": read}, unbatched=range(4))
    steps = log_steps(job, process)
    assert len(run(make_sources(45), job, workers=1)) == 45
    assert [step for step in steps if isinstance(step, int)] == [0, 1, 2, 3]
    assert [isinstance(step, int) for step in steps[:7]] == [True, False, True, False, True, False, True]


def test_more_of_them_than_the_window_holds_block_nothing() -> None:
    job = NumberJob(unbatched=[i for i in range(60) if i % 10])
    records = run(make_sources(60), job, window=5, pixels=100, batch_size=8)
    assert records == [Classified(str(i), str(-i), ()) for i in range(60)]
