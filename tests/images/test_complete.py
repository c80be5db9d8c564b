"""`--skip-existing`: what is there is kept where it is whole, and no longer."""

from __future__ import annotations

import os
import struct
from pathlib import Path, PurePath

import pytest

from attnimg.errors import ImageError
from attnimg.files.outputs import Output, OutputNames
from attnimg.files.source import Source
from attnimg.images.read import MAX_PIXELS
from attnimg.images.reader import DirectReader


def place(folder: Path, ending: str) -> Output:
    """Return what becomes of the output of `a`."""
    is_complete = DirectReader(MAX_PIXELS).is_complete
    return OutputNames(folder, skip_existing=True, is_complete=is_complete).place(Source("x/a", PurePath("a")), ending)


def box(kind: bytes, size: int) -> bytes:
    """A box of an MP4."""
    return struct.pack(">I", 8 + size) + kind + bytes(size)


def test_a_video_that_was_cut_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(box(b"ftyp", 16) + box(b"mdat", 1000) + box(b"moov", 100))
    assert place(tmp_path, ".mp4") == Output(path, skip=True)
    for size in (500, 0):
        os.truncate(path, size)
        assert place(tmp_path, ".mp4") == Output(path, replace=True)


@pytest.mark.parametrize("ending", [".png", ".mp4", ".json"])
def test_a_link_to_nothing_is_no_output(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    path.symlink_to("nothing")
    assert place(tmp_path, ending) == Output(path, replace=True)


@pytest.mark.parametrize("ending", [".png", ".mp4", ".json"])
def test_a_folder_in_an_outputs_place_is_told_of(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending}").mkdir()
    with pytest.raises(ImageError, match="is a folder") as caught:
        place(tmp_path, ending)
    assert caught.value.kind == "exists"
