"""`--sort-into`: what is filed is whole, and what was there before it is never lost."""

import errno
import gc
import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.results import Run
from PIL import Image

from attnimg.files.find import find
from attnimg.files.outputs import OutputNames
from attnimg.jobs.classify.sort import How, Sorter
from attnimg.pipeline.journal.journal import Journal
from attnimg.records import Classified, Failed, Prediction, Record, Skipped

HOWS: tuple[How, ...] = ("copy", "symlink", "hardlink")


def sort(photo: Path, folder: Path, how: How, overwrite: bool = True, skip_existing: bool = False) -> Record:
    names = OutputNames(folder, overwrite=overwrite, skip_existing=skip_existing, inputs=find([photo]))
    record = Classified(str(photo), "m", (Prediction("n0", "cat", 1.0),))
    return Sorter(names, how, overwrite, Journal()).collect(record)


def refuse(*args: object, **options: object) -> None:
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"photo")
    return path


@pytest.mark.parametrize(("how", "call"), [("hardlink", "link"), ("symlink", "symlink")])
def test_a_link_that_fails_leaves_the_old_file(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: How, call: str
) -> None:
    filed = tmp_path / "sorted" / "cat" / "a.jpg"
    filed.parent.mkdir(parents=True)
    filed.write_bytes(b"old")
    monkeypatch.setattr(os, call, refuse)
    record = sort(photo, tmp_path / "sorted", how)
    assert isinstance(record, Failed)
    assert record.kind == "write-failed"
    assert "--copy" in record.message
    assert [path.read_bytes() for path in filed.parent.iterdir()] == [b"old"]


@pytest.mark.parametrize("how", HOWS)
def test_an_image_that_is_a_link_is_filed_as_what_it_shows(photo: Path, tmp_path: Path, how: How) -> None:
    link = photo.with_name("link.jpg")
    link.symlink_to("a.jpg")
    assert isinstance(sort(link, tmp_path / "sorted", how), Classified)
    filed = tmp_path / "sorted" / "cat" / "link.jpg"
    assert filed.read_bytes() == b"photo"
    assert filed.is_symlink() == (how == "symlink")
    assert filed.samefile(photo) == (how != "copy")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("before", HOWS)
def test_filing_again_replaces_what_an_earlier_run_filed(photo: Path, tmp_path: Path, before: How, how: How) -> None:
    sort(photo, tmp_path / "sorted", before)
    record = sort(photo, tmp_path / "sorted", how)
    if before == "hardlink" != how:  # by its file it is the input itself
        assert isinstance(record, Failed)
        return
    assert isinstance(record, Classified)
    filed = tmp_path / "sorted" / "cat" / "a.jpg"
    assert (filed.is_symlink(), filed.samefile(photo)) == (how == "symlink", how != "copy")
    assert [path.name for path in filed.parent.iterdir()] == ["a.jpg"]
    assert photo.read_bytes() == b"photo"


@pytest.mark.parametrize("how", HOWS)
def test_an_image_where_it_belongs_already_stays(photo: Path, how: How) -> None:
    (photo.parent / "cat").mkdir()
    there = photo.rename(photo.parent / "cat" / "a.jpg")
    assert isinstance(sort(there, photo.parent, how), Classified if how == "hardlink" else Failed)
    assert there.read_bytes() == b"photo"
    assert not there.is_symlink()


def test_a_hard_link_that_is_there_is_told_of_without_overwrite(photo: Path, tmp_path: Path) -> None:
    sort(photo, tmp_path / "sorted", "hardlink")
    record = sort(photo, tmp_path / "sorted", "hardlink", overwrite=False)
    assert isinstance(record, Failed)
    assert record.kind == "exists"


@pytest.mark.parametrize("how", HOWS)
def test_only_the_image_itself_counts_as_filed_before(photo: Path, tmp_path: Path, how: How) -> None:
    filed = tmp_path / "sorted" / "cat" / "a.jpg"
    Image.new("RGB", (8, 8)).save(photo)
    sort(photo, tmp_path / "sorted", how)
    again = sort(photo, tmp_path / "sorted", "copy", overwrite=False, skip_existing=True)
    assert again == Skipped(str(photo), str(filed))

    filed.unlink()
    Image.new("RGB", (8, 8), "red").save(filed)
    another = filed.read_bytes()
    record = sort(photo, tmp_path / "sorted", how, overwrite=False, skip_existing=True)
    assert isinstance(record, Failed)
    assert (record.kind, "another image" in record.message) == ("exists", True)
    assert filed.read_bytes() == another

    filed.unlink()
    filed.symlink_to("nothing")  # where no image is, it is filed anew
    assert isinstance(sort(photo, tmp_path / "sorted", how, overwrite=False, skip_existing=True), Classified)
    assert filed.read_bytes() == photo.read_bytes()


def test_a_resumed_run_files_nothing_over_what_it_filed(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that failed is mended, and comes before another of its name, which was filed under that name."""
    monkeypatch.chdir(tmp_path)
    images = {}
    for i, folder in enumerate("xyz"):
        path = Path("photos", folder, "1.png")
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((40, 40, 3), i, np.uint8)).save(path)
        images[str(path)] = path.read_bytes()
    first = Path("photos/x/1.png")
    first.write_bytes(b"")
    args = ("photos", "--model", model, "--sort-into", "sorted", "--min-score", "1", "--report", "r.jsonl")
    status, before, _ = run("classify", *args)
    assert status == 1
    gc.collect()  # lets go of the report, as the end of the process would
    first.write_bytes(images[str(first)])
    status, after, _ = run("resume", "r.jsonl")
    assert status == 0
    assert after.splitlines()[1:] == before.splitlines()[1:]
    filed = {record["filed"]: record["path"] for record in map(json.loads, after.splitlines())}
    assert sorted(filed) == [f"sorted/unlabelled/1{number}.png" for number in (" (2)", " (3)", "")]
    assert all(Path(name).read_bytes() == images[path] for name, path in filed.items())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_pipe_is_not_filed_and_not_read(run: Run, model: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    status, out, _ = run("classify", pipe, "--model", model, "--sort-into", tmp_path / "sorted", *options)
    assert status == 1
    assert "A pipe can be read only once" in out
    assert not (tmp_path / "sorted").exists()


def test_a_copy_keeps_times_and_rights(photo: Path, tmp_path: Path) -> None:
    os.utime(photo, ns=(10**18, 10**18))
    photo.chmod(0o640)
    sort(photo, tmp_path / "sorted", "copy")
    status = (tmp_path / "sorted" / "cat" / "a.jpg").stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18, 0o640)


def test_a_file_system_that_keeps_no_times_takes_copies(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "utime", refuse)
    assert isinstance(sort(photo, tmp_path / "sorted", "copy"), Classified)
    assert (tmp_path / "sorted" / "cat" / "a.jpg").read_bytes() == b"photo"


@pytest.mark.parametrize("how", ["--symlink", "--hardlink"])
def test_a_run_can_be_repeated(run: Run, model: Path, tmp_path: Path, how: str) -> None:
    for name in ("a.png", "sub/a.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    args = ("classify", tmp_path / "photos", "--model", model, "--sort-into", tmp_path / "photos" / "sorted", how)
    before = run(*args, "--overwrite")
    assert before[0] == 0
    assert run(*args, "--overwrite")[:2] == before[:2]
    for record in map(json.loads, before[1].splitlines()):
        assert Path(record["filed"]).samefile(record["path"])
