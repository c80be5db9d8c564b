"""The journal of a run, in process: wherever it is cut, the run goes on, and does what is left and nothing else."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from helpers.copying_run import ODD, Copying, kill

from attnimg.errors import UsageError
from attnimg.files.source import Source
from attnimg.files.write import RUN
from attnimg.pipeline.journal.file import FileJournal
from attnimg.pipeline.journal.journal import JournalFailed
from attnimg.pipeline.journal.lines import read_run
from attnimg.records import Enhanced, Failed, Record


@pytest.fixture
def copying(tmp_path: Path) -> Copying:
    return Copying(tmp_path)


def test_wherever_the_report_is_cut_the_run_goes_on(copying: Copying) -> None:
    """At each end of a line, and at some places within; with all files there that may be, and with none."""
    records = copying.run()
    whole, files = copying.report.read_bytes(), copying.files()
    first = whole.index(b"\n") + 1
    cuts = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")] + Random(0).sample(range(first, len(whole)), 40)
    for cut, is_written in product(cuts, (True, False)):
        copying.report.write_bytes(whole[:cut])
        noted = [json.loads(line) for line in whole[:cut].splitlines(keepends=True) if line.endswith(b"\n")]
        begun, done, failed = (
            {Path(n["path"]).name for n in noted if n["event"] == e} for e in ("read", "done", "failed")
        )
        for name, data in files.items():
            (copying.out / name).unlink(missing_ok=True)
            if name in done or (is_written and name in begun):
                (copying.out / name).write_bytes(data)
        if begun - done - failed:  # something may be half-written
            (copying.out / f".attnimg-{RUN}-0123.tmp").write_bytes(b"half a file")
        assert copying.run(resume=True) == records
        assert copying.files() == files
        assert copying.written == [name for name in copying.names if name not in done]


def test_what_is_begun_and_no_more_is_done_again_and_what_is_done_is_not(copying: Copying) -> None:
    undisturbed = copying.run()
    files = copying.files()
    copying.report.unlink()
    for path in copying.out.iterdir():
        path.unlink()
    copying.run(stop_after=2)
    (copying.out / "d.png").write_bytes(b"half a file, by a process that was killed")
    assert copying.run(resume=True) == undisturbed
    assert copying.written == ["bad.png", "d.png"]
    assert copying.files() == files


Change = Callable[[Copying], object]
CHANGES: dict[str, tuple[Change, list[str]]] = {
    "nothing": (lambda run: None, []),
    "an output removed": (lambda run: (run.out / "a.png").unlink(), ["a.png"]),
    "an output cut": (lambda run: os.truncate(run.out / "a.png", 9), ["a.png"]),
    "an output changed, of equal size": (lambda run: (run.out / "a.png").write_bytes(b"x" * 250), ["a.png"]),
    "an input changed": (lambda run: (run.photos / "d.png").write_bytes(b"other"), ["d.png"]),
    "an input written to again": (lambda run: os.utime(run.photos / "d.png", (1, 1)), ["d.png"]),
    "all outputs removed": (lambda run: [p.unlink() for p in run.out.iterdir()], ["a.png", ODD, "d.png"]),
}


@pytest.mark.parametrize("what", CHANGES)
def test_done_is_only_what_is_as_it_was(copying: Copying, what: str) -> None:
    change, again = CHANGES[what]
    copying.run()
    change(copying)
    copying.run(resume=True)
    assert sorted(copying.written) == sorted([*again, "bad.png"])  # what failed is tried again
    assert all(
        (copying.out / n).read_bytes() == (copying.photos / n).read_bytes() for n in copying.names if n != "bad.png"
    )


def test_what_failed_is_tried_again_and_told_of_only_when_that_is_news(copying: Copying) -> None:
    copying.run()
    copying.run(resume=True)
    assert [line["event"] for line in copying.lines()[10:]] == ["resumed", "read", "end"]
    (copying.photos / "bad.png").write_bytes(b"mended")
    copying.run(resume=True)
    assert [line["event"] for line in copying.lines()[13:]] == ["resumed", "read", "done", "end"]
    assert (copying.out / "bad.png").read_bytes() == b"mended"


def test_an_output_that_was_lost_before_it_was_noted_is_not_done(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody removes the folder in mid-run."""
    record_outcome = FileJournal.record_outcome

    def lose(journal: FileJournal, record: Record) -> None:
        if isinstance(record, Enhanced):
            Path(record.output).unlink()
        record_outcome(journal, record)

    with monkeypatch.context() as patch:
        patch.setattr(FileJournal, "record_outcome", lose)
        copying.run()
    assert copying.files() == {}
    copying.run(resume=True)
    assert set(copying.files()) == {"a.png", ODD, "d.png"}


def test_the_file_of_someone_else_is_not_ours_after_a_resume_either(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Copying._copy

    def come_first(self: Copying, source: Source, target: Any) -> Record:
        if source.relative.name == "a.png":
            copying.out.mkdir(exist_ok=True)
            target.path.write_bytes(b"another run's")
        return copy(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Copying, "_copy", come_first)
        copying.run()
        (copying.out / "a.png").unlink()
        copying.run(resume=True)
    copying.run(resume=True)
    assert (copying.out / "a.png").read_bytes() == b"another run's"
    assert copying.records()[0]["error"]["kind"] == "exists"


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b"7\n",
        b"\0\0\0\n",
        b'{"event": "read"}\n',
        b'{"event": "done", "record": {}}\n',
        b'{"event": "failed", "path": "x", "taken": []}\n',
        b'{"event": "run"\n',
    ],
    ids=repr,
)
def test_a_report_that_is_damaged_within_is_refused_and_left_as_it_is(copying: Copying, line: bytes) -> None:
    copying.run()
    lines = copying.report.read_bytes().splitlines(keepends=True)
    data = b"".join([*lines[:3], line, *lines[3:]])
    copying.report.write_bytes(data)
    with pytest.raises(UsageError, match=rf"damaged at byte {sum(map(len, lines[:3]))}.*--skip-existing"):
        copying.open(resume=True)
    assert copying.report.read_bytes() == data


@pytest.mark.parametrize(
    ("key", "other"), [(b'"width"', b'"wisth"'), (b'0, "sha256"', b'0, "sha257"'), (b'"input"', b'"ioput"')]
)
def test_an_outcome_that_makes_no_sense_is_none(copying: Copying, key: bytes, other: bytes) -> None:
    records = copying.run()
    copying.report.write_bytes(copying.report.read_bytes().replace(key, other, 1))
    assert copying.run(resume=True) == records
    assert copying.written == ["a.png", "bad.png"]


def test_a_tail_of_zeros_is_cut_off(copying: Copying) -> None:
    """As file systems leave when the power fails."""
    records = copying.run(stop_after=2)
    with copying.report.open("ab") as file:
        file.write(bytes(5000))
    assert copying.run(resume=True) != records
    assert b"\0" not in copying.report.read_bytes()
    assert len(copying.records()) == 4


@pytest.mark.parametrize("there", [b"", b'{"ev', b'{"event": "run", "at": "2026', bytes(9), b'{"event"\0\0'], ids=repr)
def test_a_run_that_was_stopped_before_it_began_is_begun_again(copying: Copying, there: bytes) -> None:
    copying.report.write_bytes(there)
    with pytest.raises(UsageError, match=r"holds no run yet.*Leave out --resume"):
        copying.open(resume=True)
    with pytest.raises(UsageError, match=r"holds no run yet.*Run the original command again"):
        read_run(copying.report)
    assert copying.report.read_bytes() == there
    records = copying.run()
    assert (records, copying.run(resume=True)) == (copying.records(), records)
    assert copying.lines()[0]["event"] == "run"


def test_only_one_process_is_at_a_run(copying: Copying) -> None:
    journal = copying.open()
    journal.start()
    journal.announce("photo", Path("a.png"))
    with pytest.raises(UsageError, match="Another process is using"):
        copying.open(resume=True)
    kill(journal)
    resumed = copying.open(resume=True)
    with pytest.raises(UsageError, match="Another process is using"):
        copying.open(resume=True)
    kill(resumed)


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_after_half_a_line_on_a_full_disk_nothing_is_written(
    copying: Copying, full_disk: Callable[[int], None]
) -> None:
    """The rest of the run, and room that is made meanwhile, must not turn the half line into damage within."""
    whole = copying.run()
    data = copying.report.read_bytes()
    copying.report.unlink()
    for path in copying.out.iterdir():
        path.unlink()
    journal = copying.open()
    journal.start()
    journal.announce("photo", Path("a.png"))
    begun = copying.report.stat().st_size
    full_disk(begun + 9)
    with pytest.raises(JournalFailed, match="File too large"):
        journal.announce("photo", Path("a.png"))
    full_disk(1 << 30)
    with pytest.raises(JournalFailed, match="File too large"):
        journal.record_outcome(Failed("photo", "damaged", "It is bad."))
    kill(journal)
    assert copying.report.stat().st_size == begun + 9
    assert copying.run(resume=True) == whole
    assert data.count(b"\n") == copying.report.read_bytes().count(b"\n") - 2
