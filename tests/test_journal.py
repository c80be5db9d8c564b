"""The journal of a run, in process: wherever it is cut, the run goes on, and does what is left and nothing else."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path, PurePath
from random import Random
from typing import Any

import pytest

from attnimg.errors import ImageError, UsageError
from attnimg.images.place import Placer, Target
from attnimg.images.source import Source
from attnimg.images.write import RUN, write_bytes
from attnimg.pipeline.journal import JournalFailed
from attnimg.pipeline.journal_file import FileJournal
from attnimg.pipeline.journal_lines import read_run
from attnimg.results import Enhanced, Failed, Record, Tally

ODD = os.fsdecode(b"caf\xe9 \n2.png")
DESCRIPTION = {"arguments": ["copy"], "folder": "/photos", "report": "/r.jsonl", "writes": [], "sha256": "0" * 64}


class Copying:
    """A run that copies photos, in the order of the stream: all are admitted, then each is written and settled."""

    def __init__(self, folder: Path) -> None:
        self.photos, self.out, self.report = folder / "photos", folder / "out", folder / "r.jsonl"
        self.photos.mkdir()
        self.names = ["a.png", ODD, "bad.png", "d.png"]
        for name in self.names:
            (self.photos / name).write_bytes(b"bad" if "bad" in name else os.fsencode(name) * 50)
        self.written: list[str] = []  # names, by the last run

    def open(self, *, resume: bool = False, **changed: Any) -> FileJournal:
        return FileJournal(self.report, {**DESCRIPTION, **changed}, Enhanced, resume=resume)

    def run(self, *, resume: bool = False, stop_after: int | None = None) -> list[Record]:
        """Return the records. stop_after: how many images are settled before the process is killed."""
        journal = self.open(resume=resume)
        try:
            journal.start()
            sources = [Source(os.fspath(self.photos / name), PurePath(name)) for name in self.names]
            placer, tally, self.written = Placer(self.out, begun=journal.begun), Tally(), []
            admit = journal.admitting(lambda source: {"output": placer.place(source, ".png")})
            admitted: list[Any] = []
            for source in sources:
                try:
                    admitted.append(admit(source))
                except ImageError as error:
                    admitted.append(Failed(source.path, error.kind, error.message))
            for source, found in list(zip(sources, admitted, strict=True))[:stop_after]:
                record = self._copy(source, found["output"]) if isinstance(found, dict) else found
                tally.add(record)
                journal.settle(record)
            if stop_after is None:
                journal.end(tally)
            return [found for found in admitted if not isinstance(found, dict)] if stop_after else self.records()
        finally:
            kill(journal)

    def _copy(self, source: Source, target: Any) -> Record:
        self.written.append(source.relative.name)
        data = Path(source.path).read_bytes()
        if data == b"bad":
            return Failed(source.path, "damaged", "It is bad.")
        try:
            write_bytes(target, data)
        except ImageError as error:
            return Failed(source.path, error.kind, error.message)
        return Enhanced(source.path, os.fspath(target.path), "copy", 3, 2)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.report.read_bytes().splitlines()]

    def records(self) -> list[Any]:
        """Return the last record that the report holds of each photo, by the photo's name."""
        last = {line["path"]: line["record"] for line in self.lines() if "record" in line}
        return [last[os.fspath(self.photos / name)] for name in self.names]

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


def kill(journal: FileJournal) -> None:
    """Let go of the file, as the system does for a process that is killed."""
    with suppress(AttributeError):  # it was never opened
        journal._file.close()
        journal._reader.close()


@pytest.fixture
def copying(tmp_path: Path) -> Copying:
    return Copying(tmp_path)


def test_a_report_tells_of_the_run_and_of_each_image(copying: Copying) -> None:
    copying.run()
    assert copying.report.read_bytes().isascii()
    run, *lines, end = copying.lines()
    assert run["event"] == "run"
    assert DESCRIPTION.items() <= run.items()
    assert [line["event"] for line in lines] == ["read"] * 4 + ["done", "done", "failed", "done"]
    done = lines[4]
    assert done["path"] == os.fspath(copying.photos / "a.png")
    assert done["input"]["size"] == done["files"][0]["size"] == 250
    assert len(done["files"][0]["sha256"]) == 64
    assert done["seconds"] >= 0
    assert {"done": 3, "skipped": 0, "failed": 1}.items() <= end.items()
    assert all(line["at"].endswith("+00:00") for line in (run, *lines, end))


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
    settle = FileJournal.settle

    def lose(journal: FileJournal, record: Record) -> None:
        if isinstance(record, Enhanced):
            Path(record.output).unlink()
        settle(journal, record)

    with monkeypatch.context() as patch:
        patch.setattr(FileJournal, "settle", lose)
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
            copying.out.mkdir()
            target.path.write_bytes(b"another run's")
        return copy(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Copying, "_copy", come_first)
        copying.run()
    copying.run(resume=True)
    assert (copying.out / "a.png").read_bytes() == b"another run's"
    assert copying.records()[0]["error"]["kind"] == "exists"


def test_a_path_that_is_listed_twice_has_two_outcomes(copying: Copying) -> None:
    copying.names = ["a.png", "a.png"]
    copying.run()
    outcomes = [(line["event"], line.get("number")) for line in copying.lines() if "record" in line]
    assert outcomes == [("done", None), ("failed", 2)]
    assert copying.lines()[3]["record"]["error"]["kind"] == "collision"
    copying.run(resume=True)
    assert copying.written == []
    assert [line["event"] for line in copying.lines()[5:]] == ["resumed", "end"]


def test_a_path_that_is_listed_twice_and_fails_at_first_is_remembered_as_it_came(copying: Copying) -> None:
    there = Source(os.fspath(copying.photos / "a.png"), PurePath("a.png"))
    gone = replace(there, error=ImageError("missing", "It is not there."))
    output = copying.out / "a.png"
    for resume in (False, True):
        journal = copying.open(resume=resume)
        journal.start()
        admit = journal.admitting(lambda source: {"output": Target(output)})
        with pytest.raises(ImageError, match="not there"):
            admit(gone)
        found = admit(there)
        journal.settle(Failed(gone.path, "missing", "It is not there."))
        if not resume:
            write_bytes(Target(output), b"a copy")
            journal.settle(Enhanced(there.path, os.fspath(output), "copy", 3, 2))
        kill(journal)
    assert found == Enhanced(there.path, os.fspath(output), "copy", 3, 2)
    done = next(line for line in copying.lines() if line["event"] == "done")
    assert (done["number"], done["input"]["size"]) == (2, 250)


def test_what_killed_processes_left_half_written_goes_and_nothing_else(copying: Copying, tmp_path: Path) -> None:
    together, elsewhere = tmp_path / "coco", tmp_path / "elsewhere"
    for folder in (copying.out, together, elsewhere):
        folder.mkdir()
        (folder / f".attnimg-{RUN}-0123.tmp").touch()
        (folder / ".attnimg-another-0123.tmp").touch()
    writes = [os.fspath(together / "coco.json")]
    journal = copying.open(writes=writes)
    journal.start()
    journal.announce("photo", copying.out / "a.png")
    kill(journal)
    kill(copying.open(resume=True, writes=writes))
    for folder in (copying.out, together):
        assert [path.name for path in folder.iterdir()] == [".attnimg-another-0123.tmp"]
    assert len(list(elsewhere.iterdir())) == 2


def test_a_runs_own_outputs_are_no_inputs_of_its(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    copying.run(stop_after=1)
    monkeypatch.chdir(copying.photos)
    nowhere, journal = PurePath(), copying.open(resume=True)
    assert journal.wrote(Source(os.fspath(copying.out / "a.png"), nowhere))
    assert journal.wrote(Source("../out/a.png", nowhere))
    assert not journal.wrote(Source("a.png", nowhere))
    assert not journal.wrote(Source("../out/a.png", nowhere, data=b"from stdin"))
    kill(journal)
    copying.report.unlink()
    assert not copying.open().wrote(Source("../out/a.png", nowhere))


def test_what_is_recalled_and_then_fails_is_said_to_have_failed(copying: Copying) -> None:
    """As when its mask goes between its admission and its turn."""
    copying.run()
    source = Source(os.fspath(copying.photos / "a.png"), PurePath("a.png"))
    for fails in (False, True):
        journal = copying.open(resume=True)
        journal.start()
        recalled = journal.admitting(lambda _: {})(source)
        assert isinstance(recalled, Enhanced)
        journal.settle(Failed(source.path, "write-failed", "It is gone.") if fails else recalled)
        kill(journal)
    assert [line["event"] for line in copying.lines()[10:]] == ["resumed", "failed"]


@pytest.mark.parametrize(
    "line",
    [
        b"no json\n",
        b"[]\n",
        b"7\n",
        b"\0\0\0\n",
        b'{"event": "read"}\n',
        b'{"event": "done", "path": "x", "record": 3}\n',
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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"arguments": ["copy", "--quality", "3"]}, "another arguments.*attnimg resume"),
        ({"folder": "/elsewhere"}, "another folder"),
        ({"sha256": "1" * 64}, "another sha256.*Bring that model back"),
    ],
)
def test_another_run_is_refused(copying: Copying, changed: dict[str, Any], said: str) -> None:
    copying.run()
    data = copying.report.read_bytes()
    with pytest.raises(UsageError, match=said):
        copying.open(resume=True, **changed)
    assert copying.report.read_bytes() == data


def test_a_report_that_is_there_is_no_new_one_and_none_is_made_by_resuming(copying: Copying) -> None:
    with pytest.raises(UsageError, match="is not there"):
        copying.open(resume=True)
    assert not copying.report.exists()
    for there in (b"7", b"{}\n", b'{"event": "done"', b"\0\n"):
        copying.report.write_bytes(there)
        with pytest.raises(UsageError, match="attnimg resume"):
            copying.open()
        with pytest.raises(UsageError, match="no report of a run"):
            copying.open(resume=True)
        assert copying.report.read_bytes() == there


@pytest.mark.parametrize("there", [b"", b'{"ev', b'{"event": "run", "at": "2026', bytes(9), b'{"event"\0\0'], ids=repr)
def test_a_run_that_was_stopped_before_it_began_is_begun_again(copying: Copying, there: bytes) -> None:
    copying.report.write_bytes(there)
    with pytest.raises(UsageError, match=r"holds no run yet.*Leave out --resume"):
        copying.open(resume=True)
    with pytest.raises(UsageError, match=r"holds no run yet.*Give its command once more"):
        read_run(copying.report)
    assert copying.report.read_bytes() == there
    records = copying.run()
    assert (records, copying.run(resume=True)) == (copying.records(), records)
    assert copying.lines()[0]["event"] == "run"


def test_of_two_that_begin_at_once_one_does(copying: Copying) -> None:
    copying.report.touch()
    first, second, third = (copying.open() for _ in range(3))
    for journal in (first, second, third):
        journal.start()
    first.announce("photo", Path("a.png"))
    with pytest.raises(UsageError, match="Another process is at the run"):
        second.announce("photo", Path("a.png"))
    kill(first)
    with pytest.raises(UsageError, match="is there already"):
        third.announce("photo", Path("a.png"))
    assert [line["event"] for line in copying.lines()] == ["run", "file"]


def test_a_run_without_an_image_leaves_no_report(copying: Copying) -> None:
    copying.open().start()
    assert not copying.report.exists()


def test_a_report_goes_into_a_new_folder_or_says_why_not(copying: Copying) -> None:
    copying.report = copying.photos.parent / "new" / "r.jsonl"
    copying.run()
    copying.report = copying.photos / "a.png" / "r.jsonl"
    with pytest.raises(UsageError, match=r"cannot be written: .*Name another file"):
        copying.run()


def test_only_one_process_is_at_a_run(copying: Copying) -> None:
    journal = copying.open()
    journal.start()
    journal.announce("photo", Path("a.png"))
    with pytest.raises(UsageError, match="Another process is at the run"):
        copying.open(resume=True)
    kill(journal)
    resumed = copying.open(resume=True)
    with pytest.raises(UsageError, match="Another process is at the run"):
        copying.open(resume=True)
    kill(resumed)


def test_a_drive_without_locks_takes_a_report(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    copying.run(stop_after=1)
    assert len(copying.run(resume=True)) == 4


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
        journal.settle(Failed("photo", "damaged", "It is bad."))
    kill(journal)
    assert copying.report.stat().st_size == begun + 9
    assert copying.run(resume=True) == whole
    assert data.count(b"\n") == copying.report.read_bytes().count(b"\n") - 2


def test_a_run_is_read_back(copying: Copying, tmp_path: Path) -> None:
    copying.run()
    assert DESCRIPTION.items() <= read_run(copying.report).items()
    for data in (b"7", b"7\n", b"{}\n", b'{"event": "run"}\n', b'{"event": "done"}\n', b"\xff\xfe\n"):
        (tmp_path / "other").write_bytes(data)
        with pytest.raises(UsageError, match="no report of a run"):
            read_run(tmp_path / "other")
    with pytest.raises(UsageError, match="cannot be read"):
        read_run(tmp_path / "nothing")
