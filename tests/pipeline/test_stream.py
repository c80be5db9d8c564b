"""The stream: one record per image and in order, whatever fails, waits or is stopped."""

from __future__ import annotations

import itertools
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path, PurePath

import pytest
from helpers.number_job import NumberJob, fail_for, make_sources, paths, run
from helpers.paths import TESTS

from attnimg.errors import ImageError
from attnimg.files.source import Source
from attnimg.pipeline.stream import POOL, stream
from attnimg.records import Classified, Failed, Record, Skipped

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


@pytest.mark.parametrize("seed", range(8))
def test_one_record_each_in_order_whatever_delays_and_failures(seed: int) -> None:
    rng = random.Random(seed)
    count = rng.randrange(1, 150)
    fates = [
        rng.choice(["well"] * 6 + ["source", "admit", "skip", "read", "predict", "write", "memory", "whole", "process"])
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

    stations = ("admit", "read", "predict", "write", "process")
    alone = {"whole", "process"}, {"whole", "process", "source", "admit", "skip"}
    unbatched = {i for i, fate in enumerate(fates) if fate in alone[i % 2]}
    job = NumberJob({station: at(station) for station in stations}, shapes=rng.randrange(1, 4), unbatched=unbatched)
    sources = [
        Source(str(i), PurePath(str(i)), error=ImageError("missing", "source") if fates[i] == "source" else None)
        for i in range(count)
    ]
    options = {"batch_size": rng.randrange(1, 9), "workers": rng.randrange(1, 5), "window": rng.choice([2, 9, 100])}
    records = run(sources, job, pixels=rng.choice([1, 500, 10**6]), **options)

    expected: dict[str, Callable[[str], Record]] = {
        "well": lambda path: Classified(path, str(-int(path)), ()),
        "whole": lambda path: Classified(path, str(-int(path)), ()),
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
    assert run([], NumberJob()) == []


@pytest.mark.timeout(30)
def test_a_slow_source_sees_its_records_promptly() -> None:
    lines: queue.Queue[Source | None] = queue.Queue()
    job = NumberJob()
    records = stream(iter(lines.get, None), job, batch_size=64, workers=2, patience=0.01)
    with closing(records):
        for source in make_sources(3):
            lines.put(source)
            assert next(records).path == source.path  # although the batch is not full, and the next source not sent
        lines.put(None)
        assert list(records) == []
    assert job.batches == [[0], [1], [2]]


def test_a_slow_first_image_bounds_what_piles_up() -> None:
    gate = threading.Event()
    endless = (Source(str(i), PurePath(str(i))) for i in itertools.count())
    job = NumberJob({"read": lambda number: number or gate.wait(10)})
    with closing(stream(endless, job, batch_size=4, workers=3, window=20, patience=0.01)) as records:
        threading.Timer(0.3, gate.set).start()
        assert paths(itertools.islice(records, 1)) == ["0"]
        assert job.admitted <= 22  # the window, the one that waits for room, and the one that `next` makes room for
        assert paths(itertools.islice(records, 50)) == [str(i) for i in range(1, 51)]


def test_a_consumer_that_stops_taking_stops_the_sources() -> None:
    job = NumberJob()
    endless = (Source(str(i), PurePath(str(i))) for i in itertools.count())
    with closing(stream(endless, job, batch_size=4, workers=3, window=16)) as records:
        next(records)
        time.sleep(0.1)
        assert job.admitted <= 18


def test_reading_and_writing_overlap_with_predicting() -> None:
    """The third read, the second prediction and the first write wait for each other."""
    together = threading.Barrier(3)

    def meet_at(turn: int) -> Callable[[int], None]:
        turns = itertools.count(1)

        def visit(_: int) -> None:
            if next(turns) == turn:
                together.wait(10)

        return visit

    job = NumberJob({"read": meet_at(3), "predict": meet_at(2), "write": meet_at(1)})
    assert len(run(make_sources(8), job, batch_size=1)) == 8
    assert not together.broken


@pytest.mark.parametrize("station", ["admit", "read", "predict", "write", "process"])
def test_a_bug_surfaces(station: str) -> None:
    job = NumberJob({station: fail_for(17, error=KeyError("bug"))}, unbatched=[17] if station == "process" else ())
    records = stream(make_sources(30), job, batch_size=4, workers=3)
    seen: list[str] = []
    with pytest.raises(KeyError, match="bug"):
        seen.extend(record.path for record in records)
    assert seen == [str(i) for i in range(len(seen))]
    assert len(seen) == 17 or (station == "predict" and len(seen) <= 17)


def test_a_wrong_number_of_outcomes_is_a_bug() -> None:
    job = NumberJob()
    job.predict = lambda batch: batch[:-1]  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="zip"):
        run(make_sources(4), job)


def test_what_the_sources_raise_comes_after_their_records() -> None:
    def listing() -> Iterator[Source]:
        yield from make_sources(3)
        raise OSError("the list cannot be read")

    records = stream(listing(), NumberJob(), batch_size=8, workers=2)
    assert paths(itertools.islice(records, 3)) == ["0", "1", "2"]
    with pytest.raises(OSError, match="list"):
        next(records)


def test_closing_drops_what_is_queued_and_leaves_no_thread() -> None:
    begun: list[int] = []
    ended: list[int] = []
    hold, all_busy = threading.Event(), threading.Barrier(5)

    def slow(number: int) -> None:
        begun.append(number)
        time.sleep(0.001)  # so that the window is far from full when the four are held
        if hold.is_set():
            all_busy.wait(5)
            time.sleep(0.1)
        ended.append(number)

    endless = (Source(str(i), PurePath(str(i))) for i in itertools.count())
    records = stream(endless, NumberJob({"read": slow}), batch_size=1, workers=4, grace=30)
    assert paths(itertools.islice(records, 3)) == ["0", "1", "2"]
    hold.set()
    all_busy.wait(5)
    time.sleep(0.02)  # the feeder fills the queue behind the four
    before = len(begun)
    records.close()
    assert len(begun) == before
    assert sorted(ended) == sorted(begun)


@pytest.mark.timeout(30)
def test_a_read_that_hangs_does_not_hold_up_closing() -> None:
    begun, gate = threading.Event(), threading.Event()

    def hang(number: int) -> None:
        if number:
            begun.set()
            gate.wait()

    records = stream(make_sources(2), NumberJob({"read": hang}), batch_size=1, workers=2, grace=0.01)
    assert next(records).path == "0"
    begun.wait()
    records.close()
    assert any(thread.name.startswith(f"{POOL}_") for thread in threading.enumerate())
    gate.set()


@pytest.mark.timeout(30)
def test_a_blocked_source_does_not_hold_up_closing() -> None:
    lines: queue.Queue[Source | None] = queue.Queue()
    lines.put(make_sources(1)[0])
    records = stream(iter(lines.get, None), NumberJob(), batch_size=1, workers=2)
    assert next(records).path == "0"
    records.close()  # although nothing comes
    lines.put(None)


def test_ctrl_c_while_predicting_ends_the_stream() -> None:
    records = stream(
        make_sources(100), NumberJob({"predict": fail_for(10, error=KeyboardInterrupt())}), batch_size=1, workers=2
    )
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(record.path for record in records)
    assert seen == [str(i) for i in range(len(seen))]
    assert len(seen) <= 10


@pytest.mark.slow
def test_ctrl_c_ends_the_process_although_a_source_blocks(tmp_path: Path) -> None:
    script = tmp_path / "blocked.py"
    script.write_text(
        "from pathlib import PurePath\n"
        "from attnimg.files.source import Source\n"
        "from attnimg.pipeline.stream import stream\n"
        "from helpers.number_job import NumberJob\n"
        "lines = open(0, closefd=False)\n"
        "for record in stream((Source(l.strip(), PurePath(l)) for l in lines), NumberJob(), batch_size=9, workers=2):\n"
        "    print(record.path, flush=True)\n"
    )
    path = os.pathsep.join([str(TESTS), *sys.path])
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
            assert child.wait(30) == -signal.SIGINT
        finally:
            child.kill()
