"""The journal of a run, in process: what its report tells, whose it is, and which paths and files are this run's."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import pytest
from helpers.copying_run import DESCRIPTION, Copying, kill

from attnimg.errors import ImageError, UsageError
from attnimg.files.outputs import Output
from attnimg.files.source import Source
from attnimg.files.write import RUN, write_bytes
from attnimg.pipeline.journal.lines import read_run
from attnimg.records import Enhanced, Failed


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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"arguments": ["copy", "--quality", "3"]}, "another run. Its arguments.*attnimg resume"),
        ({"folder": "/elsewhere"}, "another run. Its folder"),
        ({"sha256": "1" * 64}, "another run. Its sha256.*Restore that model file"),
    ],
)
def test_another_run_is_refused(copying: Copying, changed: dict[str, Any], said: str) -> None:
    copying.run()
    data = copying.report.read_bytes()
    with pytest.raises(UsageError, match=said):
        copying.open(resume=True, **changed)
    assert copying.report.read_bytes() == data


def test_a_report_that_is_there_is_no_new_one_and_none_is_made_by_resuming(copying: Copying) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        copying.open(resume=True)
    assert not copying.report.exists()
    for there in (b"7", b"{}\n", b'{"event": "done"', b"\0\n"):
        copying.report.write_bytes(there)
        with pytest.raises(UsageError, match="attnimg resume"):
            copying.open()
        with pytest.raises(UsageError, match="not the report of a run"):
            copying.open(resume=True)
        assert copying.report.read_bytes() == there


def test_of_two_that_begin_at_once_one_does(copying: Copying) -> None:
    copying.report.touch()
    first, second, third = (copying.open() for _ in range(3))
    for journal in (first, second, third):
        journal.start()
    first.announce("photo", Path("a.png"))
    with pytest.raises(UsageError, match="Another process is using"):
        second.announce("photo", Path("a.png"))
    kill(first)
    with pytest.raises(UsageError, match="exists"):
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


def test_a_drive_without_locks_takes_a_report(copying: Copying, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    copying.run(stop_after=1)
    assert len(copying.run(resume=True)) == 4


def test_a_run_is_read_back(copying: Copying, tmp_path: Path) -> None:
    copying.run()
    assert DESCRIPTION.items() <= read_run(copying.report).items()
    for data in (b"7", b"7\n", b"{}\n", b'{"event": "run"}\n', b'{"event": "done"}\n', b"\xff\xfe\n"):
        (tmp_path / "other").write_bytes(data)
        with pytest.raises(UsageError, match="not the report of a run"):
            read_run(tmp_path / "other")
    with pytest.raises(UsageError, match="cannot be read"):
        read_run(tmp_path / "nothing")


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
        admit = journal.wrap_admit(lambda source: {"output": Output(output)})
        with pytest.raises(ImageError, match="not there"):
            admit(gone)
        found = admit(there)
        journal.record_outcome(Failed(gone.path, "missing", "It is not there."))
        if not resume:
            write_bytes(Output(output), b"a copy")
            journal.record_outcome(Enhanced(there.path, os.fspath(output), "copy", 3, 2))
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
    assert journal.is_own_output(Source(os.fspath(copying.out / "a.png"), nowhere))
    assert journal.is_own_output(Source("../out/a.png", nowhere))
    assert not journal.is_own_output(Source("a.png", nowhere))
    assert not journal.is_own_output(Source("../out/a.png", nowhere, data=b"from stdin"))
    kill(journal)
    copying.report.unlink()
    assert not copying.open().is_own_output(Source("../out/a.png", nowhere))


def test_what_is_recalled_and_then_fails_is_said_to_have_failed(copying: Copying) -> None:
    """As when its mask goes between its admission and its turn."""
    copying.run()
    source = Source(os.fspath(copying.photos / "a.png"), PurePath("a.png"))
    for fails in (False, True):
        journal = copying.open(resume=True)
        journal.start()
        recalled = journal.wrap_admit(lambda _: {})(source)
        assert isinstance(recalled, Enhanced)
        journal.record_outcome(Failed(source.path, "write-failed", "It is gone.") if fails else recalled)
        kill(journal)
    assert [line["event"] for line in copying.lines()[10:]] == ["resumed", "failed"]
