"""Batches: full ones while images keep coming, and smaller ones where memory or an image fails."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from helpers.number_job import NumberJob, fail_for, make_sources, paths, run

from attnimg.pipeline.batches import Batches
from attnimg.records import Classified, Failed

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def take(batches: Batches[str], *, complete: bool = False) -> list[str] | None:
    batch = batches.take_due(complete=complete)
    return batch and batch.images


def test_an_image_waits_for_others_of_its_shape_until_its_patience_is_over() -> None:
    clock = Clock()
    batches = Batches[str](4, patience=2, clock=clock)
    assert (batches.remaining_patience(complete=True), take(batches, complete=True)) == (None, None)
    batches.add("a1", "a")
    clock.now += 0.5
    batches.add("b1", "b")
    batches.add("a2", "a")
    assert (batches.remaining_patience(complete=False), take(batches)) == (1.5, None)
    clock.now += 1.5
    assert (batches.remaining_patience(complete=False), take(batches), take(batches)) == (0, ["a1", "a2"], None)
    assert batches.remaining_patience(complete=False) == 0.5
    clock.now += 60
    assert (batches.remaining_patience(complete=False), take(batches)) == (0, ["b1"])


def test_full_batches_take_turns_and_an_older_one_without_patience_goes_first() -> None:
    clock = Clock()
    batches = Batches[str](2, patience=2, clock=clock)
    for image in ("a1", "b1", "c1", "c2", "b2", "d1"):
        batches.add(image, image[0])
        clock.now += 0.5
    assert [take(batches) for _ in range(4)] == [["a1"], ["c1", "c2"], ["b1", "b2"], None]
    assert (batches.remaining_patience(complete=True), take(batches, complete=True)) == (0, ["d1"])


def test_full_batches_when_images_keep_coming() -> None:
    job = NumberJob()
    run(make_sources(40), job, workers=1, patience=5)
    assert [len(batch) for batch in job.batches] == [4] * 10


@pytest.mark.timeout(30)
@pytest.mark.parametrize("options", [{}, {"window": 3}, {"pixels": 150}], ids=["sources end", "window", "pixels"])
def test_the_rest_does_not_wait_once_nothing_can_join_it(options: dict[str, int]) -> None:
    assert len(run(make_sources(7), NumberJob(shapes=7), patience=1e6, **options)) == 7


def test_one_bad_image_does_not_fail_its_batch() -> None:
    job = NumberJob({"predict": fail_for(2)})
    records = run(make_sources(4), job, workers=1, patience=5)
    assert [isinstance(record, Failed) for record in records] == [False, False, True, False]
    assert job.batches == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]


def fail_above(most: int) -> Callable[[list[int]], None]:
    def visit(batch: list[int]) -> None:
        if len(batch) > most:
            raise MemoryError

    return visit


@pytest.mark.parametrize("most", [1, 2, 3, 5, 7, 8])
def test_a_batch_that_memory_is_too_small_for_halves_and_later_ones_stay_halved(most: int) -> None:
    job = NumberJob(predict=fail_above(most))
    records = run(make_sources(50), job, workers=1, batch_size=8, patience=5)
    assert records == [Classified(str(i), str(-i), ()) for i in range(50)]
    fitting = {1: 1, 2: 2, 3: 2, 5: 4, 7: 4, 8: 8}[most]
    tried = [len(batch) for batch in job.batches]
    assert [size for size in tried if size > most] == [8, 4, 2][: (8 // fitting).bit_length() - 1], "each fails once"
    assert max(tried[tried.index(fitting) :]) == fitting
    assert sum(size for size in tried if size <= most) == 50
    assert len(tried) <= 3 + -(-50 // fitting) + 3  # what was gathered meanwhile may leave a rest, as may the end


def test_batches_of_another_shape_keep_their_size() -> None:
    job = NumberJob(shapes=2, predict=lambda batch: fail_above(1 if batch[0] % 2 else 4)(batch))
    assert len(run(make_sources(32), job, workers=1, patience=5)) == 32
    assert {len(batch) for batch in job.batches if batch[0] % 2 == 0} == {4}
    assert [len(batch) for batch in job.batches if batch[0] % 2 and len(batch) > 1] == [4, 2]


def test_an_image_that_memory_is_too_small_for_becomes_a_record() -> None:
    job = NumberJob({"predict": fail_for(5, error=MemoryError())})
    records = run(make_sources(20), job, patience=5)
    assert [(r.path, r.kind) for r in records if isinstance(r, Failed)] == [("5", "out-of-memory")]
    assert paths(records) == [str(i) for i in range(20)]


def test_a_batch_that_failed_leaves_nothing_in_memory() -> None:
    taken: list[weakref.ref[np.ndarray]] = []
    left: list[bool] = []

    def take(batch: list[int]) -> None:
        left.extend(ref() is not None for ref in taken)
        memory = np.zeros(len(batch))
        taken.append(weakref.ref(memory))
        try:
            fail_above(1)(batch)
        except MemoryError as error:
            raise MemoryError("as of a device") from error

    gc.disable()
    try:
        assert len(run(make_sources(8), NumberJob(predict=take), patience=5)) == 8
    finally:
        gc.enable()
    assert len(taken) == 10
    assert not any(left)
