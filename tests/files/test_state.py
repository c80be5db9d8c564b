"""By what a file is known again, and its fingerprint."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePath

import pytest

from attnimg.files.source import Source
from attnimg.files.state import FileStamp, fingerprint, sha256


def source(path: Path | str, data: bytes | None = None) -> Source:
    return Source(str(path), PurePath("x"), data=data)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo"
    path.write_bytes(b"content")
    os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    return path


def test_a_stamp_is_of_size_and_time(photo: Path) -> None:
    stamp = FileStamp.of(source(photo))
    assert stamp == FileStamp(size=7, modified=1_234_567_890_123_456_789)
    os.utime(photo, ns=(9, 1_234_567_890_123_456_789))  # it was looked at
    assert FileStamp.of(source(photo)) == stamp


@pytest.mark.parametrize("change", ["longer", "later"])
def test_a_change_is_noticed(photo: Path, change: str) -> None:
    before = FileStamp.of(source(photo))
    if change == "longer":
        photo.write_bytes(b"contents")
    os.utime(photo, ns=(5, 1_234_567_890_123_456_789 + (change == "later")))
    assert FileStamp.of(source(photo)) != before


def test_an_open_file_has_the_same_stamp_and_keeps_it_when_it_is_replaced(photo: Path, tmp_path: Path) -> None:
    before = FileStamp.of(source(photo))
    with photo.open("rb") as file:
        assert FileStamp.of_open(file.fileno()) == before
        (tmp_path / "other").write_bytes(b"other")
        (tmp_path / "other").replace(photo)
        assert FileStamp.of_open(file.fileno()) == before
    assert FileStamp.of(source(photo)) != before


def test_what_is_no_file_has_no_stamp(tmp_path: Path) -> None:
    assert FileStamp.of(source("-", data=b"from stdin")) is None
    assert FileStamp.of(source(tmp_path / "nothing")) is None
    assert FileStamp.of(source("a\0b")) is None
    reader, writer = os.pipe()
    assert FileStamp.of_open(reader) is None
    os.close(reader)
    os.close(writer)


def test_a_fingerprint_is_path_size_and_digest(photo: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    assert sha256(photo) == digest
    assert fingerprint(str(photo)) == {"path": str(photo), "size": 7, "sha256": digest}
    assert fingerprint(str(tmp_path / "nothing")) == {"path": str(tmp_path / "nothing")}
    with pytest.raises(FileNotFoundError):
        sha256(tmp_path / "nothing")
