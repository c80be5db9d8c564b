from __future__ import annotations

import gc
import itertools
import os
import queue
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import pytest

from attnimg.errors import ImageError
from attnimg.images.place import Target, Targets
from attnimg.images.source import Source
from attnimg.pipeline.budget import Budget, Look
from attnimg.pipeline.stream import stream
from attnimg.results import Classified, Failed, Record, Skipped

BROKEN = ImageError("damaged", "The file is cut short.")


def make_sources(count: int) -> list[Source]:
    return [Source(str(i), PurePath(str(i))) for i in range(count)]


class Trial:
    """A job on numbers.

    `at[station]` is called with the image's number at each station, `predict` with a batch; both may sleep or raise.
    `pixels` of an image: by its number. `most_held`: pixels that were being read and held at one time.
    """

    def __init__(
        self,
        at: Mapping[str, Callable[[int], object]] | None = None,
        *,
        shapes: int = 1,
        pixels: Callable[[int], int] = lambda _: 100,
        predict: Callable[[list[int]], None] = lambda _: None,
    ) -> None:
        self.shapes, self.at, self.pixels, self.check = shapes, at or {}, pixels, predict
        self.lock = threading.Lock()
        self.held = self.most_held = self.admitted = 0
        self.batches: list[list[int]] = []

    def visit(self, station: str, number: int) -> object:
        return self.at[station](number) if station in self.at else None

    def hold(self, pixels: int) -> None:
        with self.lock:
            self.held += pixels
            self.most_held = max(self.held, self.most_held)

    def admit(self, source: Source) -> Record | Targets:
        self.admitted += 1
        skip = self.visit("admit", int(source.path))
        return Skipped(source.path, "there") if skip else {"output": Target(Path(source.path))}

    def read(self, source: Source, targets: Targets) -> int:
        assert targets == {"output": Target(Path(source.path))}
        number = int(source.path)
        self.hold(self.pixels(number))
        try:
            self.visit("read", number)
        except ImageError:
            self.hold(-self.pixels(number))
            raise
        return number

    def shape(self, ready: int) -> Hashable:
        return ready % self.shapes

    def predict(self, batch: list[int]) -> list[int]:
        self.batches.append(batch)
        self.check(batch)
        for number in batch:
            self.visit("predict", number)
        return [-number for number in batch]

    def write(self, source: Source, ready: int, outcome: int) -> Record:
        self.visit("write", ready)
        self.hold(-self.pixels(ready))
        return Classified(source.path, str(outcome), ())


def fail_for(*numbers: int, error: BaseException = BROKEN) -> Callable[[int], None]:
    def visit(number: int) -> None:
        if number in numbers:
            raise error

    return visit


def run(sources: Iterable[Source], job: Trial, **options: float) -> list[Record]:
    return list(stream(sources, job, **{"batch_size": 4, "workers": 3, **options}))  # type: ignore[arg-type]


def paths(records: Iterable[Record]) -> list[str]:
    return [record.path for record in records]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()  # ends a stream that a failed test left open
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("seed", range(8))
def test_one_record_each_in_order_whatever_delays_and_failures(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randrange(1, 150)
    fates = [
        rng.choice(["well"] * 6 + ["source", "admit", "skip", "read", "predict", "write", "memory"])
        for _ in range(count)
    ]
    naps = [rng.choice([0, 0, 0, 0.001, 0.004]) for _ in range(count)]

    def at(station: str) -> Callable[[int], object]:
        def visit(number: int) -> object:
            if station in ("read", "write"):
                time.sleep(naps[number])
            if fates[number] == station:
                raise ImageError("damaged", station)
            if fates[number] == "memory" and station == "predict":
                raise MemoryError
            return station == "admit" and fates[number] == "skip"

        return visit

    job = Trial({station: at(station) for station in ("admit", "read", "predict", "write")}, shapes=rng.randrange(1, 4))
    sources = [
        Source(str(i), PurePath(str(i)), error=ImageError("missing", "source") if fates[i] == "source" else None)
        for i in range(count)
    ]
    options = {"batch_size": rng.randrange(1, 9), "workers": rng.randrange(1, 5), "window": rng.choice([2, 9, 100])}
    records = run(sources, job, pixels=rng.choice([1, 500, 10**6]), **options)

    expected: dict[str, Callable[[str], Record]] = {
        "well": lambda path: Classified(path, str(-int(path)), ()),
        "skip": lambda path: Skipped(path, "there"),
        "source": lambda path: Failed(path, "missing", "source"),
    }
    for fate, (i, record) in zip(fates, enumerate(records), strict=True):
        if fate == "memory":
            assert isinstance(record, Failed)
            assert (record.path, record.kind) == (str(i), "out-of-memory")
        else:
            assert record == expected.get(fate, lambda path, fate=fate: Failed(path, "damaged", fate))(str(i))
    assert all(len({number % job.shapes for number in batch}) == 1 for batch in job.batches)
    assert max(map(len, job.batches), default=0) <= options["batch_size"]


def test_no_sources_no_records() -> None:
    assert run([], Trial()) == []


def test_full_batches_when_images_keep_coming() -> None:
    job = Trial()
    run(make_sources(40), job, workers=1, patience=5)
    assert [len(batch) for batch in job.batches] == [4] * 10


def test_the_rest_does_not_wait_once_nothing_can_join_it() -> None:
    start = time.monotonic()
    assert len(run(make_sources(7), Trial(shapes=7), patience=30)) == 7  # sources at their end
    assert len(run(make_sources(7), Trial(shapes=7), patience=30, window=3)) == 7  # window full
    assert len(run(make_sources(7), Trial(shapes=7), patience=30, pixels=150)) == 7  # pixels spent
    assert time.monotonic() - start < 5


def test_one_bad_image_does_not_fail_its_batch() -> None:
    job = Trial({"predict": fail_for(2)})
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
    job = Trial(predict=fail_above(most))
    records = run(make_sources(50), job, workers=1, batch_size=8, patience=5)
    assert records == [Classified(str(i), str(-i), ()) for i in range(50)]
    fitting = {1: 1, 2: 2, 3: 2, 5: 4, 7: 4, 8: 8}[most]
    tried = [len(batch) for batch in job.batches]
    assert [size for size in tried if size > most] == [8, 4, 2][: (8 // fitting).bit_length() - 1], "each fails once"
    assert max(tried[tried.index(fitting) :]) == fitting
    assert sum(size for size in tried if size <= most) == 50
    assert len(tried) <= 3 + -(-50 // fitting) + 3  # what was gathered meanwhile may leave a rest, as may the end


def test_batches_of_another_shape_keep_their_size() -> None:
    job = Trial(shapes=2, predict=lambda batch: fail_above(1 if batch[0] % 2 else 4)(batch))
    assert len(run(make_sources(32), job, workers=1, patience=5)) == 32
    assert {len(batch) for batch in job.batches if batch[0] % 2 == 0} == {4}
    assert [len(batch) for batch in job.batches if batch[0] % 2 and len(batch) > 1] == [4, 2]


def test_an_image_that_memory_is_too_small_for_becomes_a_record() -> None:
    job = Trial({"predict": fail_for(5, error=MemoryError())})
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
        assert len(run(make_sources(8), Trial(predict=take), patience=5)) == 8
    finally:
        gc.enable()
    assert len(taken) == 10
    assert not any(left)


def test_a_slow_source_sees_its_records_promptly() -> None:
    lines: queue.Queue[Source | None] = queue.Queue()
    records = stream(iter(lines.get, None), Trial(), batch_size=64, workers=2)
    with closing(records):
        for source in make_sources(2):
            lines.put(source)
            start = time.monotonic()
            assert next(records).path == source.path
            assert 0.15 < time.monotonic() - start < 1
        lines.put(None)
        assert list(records) == []


def test_a_slow_first_image_bounds_what_piles_up() -> None:
    gate = threading.Event()
    endless = (Source(str(i), PurePath(str(i))) for i in itertools.count())
    job = Trial({"read": lambda number: number or gate.wait(10)})
    with closing(stream(endless, job, batch_size=4, workers=3, window=20, patience=0.01)) as records:
        threading.Timer(0.3, gate.set).start()
        assert paths(itertools.islice(records, 1)) == ["0"]
        assert job.admitted <= 22  # the window, the one that waits for room, and the one that `next` makes room for
        assert paths(itertools.islice(records, 50)) == [str(i) for i in range(1, 51)]


def nap(_: int) -> None:
    time.sleep(0.001)


def test_pixels_bound_what_is_read_and_held() -> None:
    job = Trial({"read": nap, "write": nap})
    run(make_sources(200), job, batch_size=2, workers=4, pixels=800)
    assert 400 <= job.most_held <= 800


def test_images_larger_than_the_budget_go_one_by_one() -> None:
    job = Trial({"read": nap, "write": nap}, pixels=lambda _: 1000)
    assert len(run(make_sources(20), job, workers=4, pixels=800)) == 20
    assert job.most_held == 1000
    assert set(map(len, job.batches)) == {1}


def sized(count: int, size: int, first: int = 0) -> list[Source]:
    """Sources of so many bytes each."""
    return [replace(source, data=bytes(size)) for source in make_sources(first + count)[first:]]


def test_files_of_a_size_not_seen_before_are_read_alone() -> None:
    reading, together = set(), []

    def read(number: int) -> None:
        reading.add(number)
        together.append(set(reading))
        time.sleep(0.003)
        reading.discard(number)

    job = Trial({"read": read}, pixels=lambda number: 10 if number < 40 else 700)
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
    reading: set[int] = set()
    together: list[set[int]] = []

    def read(number: int) -> None:
        reading.add(number)
        together.append(set(reading))
        time.sleep(0.003)
        reading.discard(number)

    job = Trial({"read": read}, pixels=lambda number: int((100 if number < 40 else 700) * kept))
    sources = [*headed(sized(40, 1000), 10, 10), *headed(sized(16, 1000, 40), 70, 10)]
    assert paths(run(sources, job, workers=4, pixels=800)) == [source.path for source in sources]
    assert max(map(len, together)) == 4
    assert [len(numbers & {*range(40, 56)}) for numbers in together if max(numbers) >= 40] == [1] * 16
    assert job.most_held <= 800


def test_what_a_job_makes_of_images_counts_for_the_next_ones() -> None:
    job = Trial({"read": nap, "write": nap}, pixels=lambda _: 300)
    run(headed(sized(40, 1000), 10, 10), job, batch_size=1, workers=1, pixels=350)
    assert job.most_held <= 600  # two were admitted before the first one was known to become 300 of 100


def test_one_giant_is_soon_forgotten() -> None:
    budget, look = Budget(800), Look(None, 7)
    alone = []
    for pixels in (10_000, *[10] * 40):
        budget.settle(look, budget.expect(look), pixels)
        alone.append(not budget.has_room(look))
        budget.release(pixels)
    assert alone == sorted(alone, reverse=True)
    assert 10 < sum(alone) < 25
    assert (budget.held, budget.expected) == (0, 0)


def test_files_that_cannot_be_read_leave_the_budget() -> None:
    def read(number: int) -> None:
        nap(number)
        fail_for(*range(30))(number)

    job = Trial({"read": read})
    records = run(make_sources(90), job, pixels=300, workers=4)
    assert [isinstance(record, Failed) for record in records] == [True] * 30 + [False] * 60
    assert 100 < job.most_held <= 300


def test_a_consumer_that_stops_taking_stops_the_sources() -> None:
    job = Trial()
    endless = (Source(str(i), PurePath(str(i))) for i in itertools.count())
    with closing(stream(endless, job, batch_size=4, workers=3, window=16)) as records:
        next(records)
        time.sleep(0.1)
        assert job.admitted <= 18


def test_reading_and_writing_overlap_with_predicting() -> None:
    def rest(_: int) -> None:
        time.sleep(0.01)

    start = time.monotonic()
    run(make_sources(40), Trial({"read": rest, "predict": rest, "write": rest}), workers=4)
    assert time.monotonic() - start < 0.9  # 1.2 s one after another, 0.4 s the slowest part


@pytest.mark.parametrize("station", ["admit", "read", "predict", "write"])
def test_a_bug_surfaces(station: str) -> None:
    records = stream(make_sources(30), Trial({station: fail_for(17, error=KeyError("bug"))}), batch_size=4, workers=3)
    seen: list[str] = []
    with pytest.raises(KeyError, match="bug"):
        seen.extend(record.path for record in records)
    assert seen == [str(i) for i in range(len(seen))]
    assert len(seen) == 17 or (station == "predict" and len(seen) <= 17)


def test_a_wrong_number_of_outcomes_is_a_bug() -> None:
    job = Trial()
    job.predict = lambda batch: batch[:-1]  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="zip"):
        run(make_sources(4), job)


def test_what_the_sources_raise_comes_after_their_records() -> None:
    def listing() -> Iterator[Source]:
        yield from make_sources(3)
        raise OSError("the list cannot be read")

    records = stream(listing(), Trial(), batch_size=8, workers=2)
    assert paths(itertools.islice(records, 3)) == ["0", "1", "2"]
    with pytest.raises(OSError, match="list"):
        next(records)


def test_closing_drops_what_is_queued_and_leaves_no_thread() -> None:
    begun: list[int] = []
    hold, all_busy = threading.Event(), threading.Barrier(5)

    def slow(number: int) -> None:
        begun.append(number)
        time.sleep(0.001)  # so that the window is far from full when the four are held
        if hold.is_set():
            all_busy.wait(5)
            time.sleep(0.1)

    endless = (Source(str(i), PurePath(str(i))) for i in itertools.count())
    records = stream(endless, Trial({"read": slow}), batch_size=1, workers=4)
    assert paths(itertools.islice(records, 3)) == ["0", "1", "2"]
    hold.set()
    all_busy.wait(5)
    time.sleep(0.02)  # the feeder fills the queue behind the four
    before = len(begun)
    start = time.monotonic()
    records.close()
    assert time.monotonic() - start < 0.5
    assert len(begun) == before


def test_a_blocked_source_does_not_hold_up_closing() -> None:
    lines: queue.Queue[Source | None] = queue.Queue()
    lines.put(make_sources(1)[0])
    records = stream(iter(lines.get, None), Trial(), batch_size=1, workers=2)
    assert next(records).path == "0"
    start = time.monotonic()
    records.close()
    assert time.monotonic() - start < 0.5
    lines.put(None)


def test_ctrl_c_while_predicting_ends_the_stream() -> None:
    records = stream(
        make_sources(100), Trial({"predict": fail_for(10, error=KeyboardInterrupt())}), batch_size=1, workers=2
    )
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(record.path for record in records)
    assert seen == [str(i) for i in range(len(seen))]
    assert len(seen) <= 10


def test_ctrl_c_ends_the_process_although_a_source_blocks(tmp_path: Path) -> None:
    script = tmp_path / "blocked.py"
    script.write_text(
        "from pathlib import PurePath\n"
        "from attnimg.images.source import Source\n"
        "from attnimg.pipeline.stream import stream\n"
        "from test_stream import Trial\n"
        "lines = open(0, closefd=False)\n"
        "for record in stream((Source(l.strip(), PurePath(l)) for l in lines), Trial(), batch_size=9, workers=2):\n"
        "    print(record.path, flush=True)\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    child = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    with child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(b"7\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"7\n"
        child.send_signal(signal.SIGINT)
        try:
            assert child.wait(5) == -signal.SIGINT
        finally:
            child.kill()
