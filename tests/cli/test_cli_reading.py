from __future__ import annotations

import os
import threading
from pathlib import Path, PurePath

import pytest
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.source import Source
from attnimg.images.decoded import DecodedImage
from attnimg.images.reader import DirectReader, read_reduced_and_full
from attnimg.runtime import MAX_PIXELS

READER = DirectReader(MAX_PIXELS)


def make_photo(path: Path, color: str, size: tuple[int, int] = (640, 480)) -> Source:
    Image.new("RGB", size, color).save(path, "JPEG")
    return Source(str(path), PurePath(path.name))


def test_a_photo_is_read_small_and_whole(tmp_path: Path) -> None:
    small, whole = read_reduced_and_full(READER, make_photo(tmp_path / "a.jpg", "red"), 100)
    assert (small.pixels.shape, whole.pixels.shape) == ((120, 160, 3), (480, 640, 3))
    assert small.size == whole.size == (640, 480)
    small, whole = read_reduced_and_full(READER, make_photo(tmp_path / "b.jpg", "red", (100, 100)), 100)
    assert small is whole


@pytest.mark.parametrize("size", [(640, 480), (800, 600)])
def test_a_photo_that_is_replaced_between_is_no_mixture(tmp_path: Path, size: tuple[int, int]) -> None:
    class Replacing(DirectReader):
        def read(self, source: Source, *, shortest: int | None = None) -> DecodedImage:
            image = super().read(source, shortest=shortest)
            if shortest is not None:
                make_photo(tmp_path / "new.jpg", "blue", size)
                (tmp_path / "new.jpg").replace(source.path)
            return image

    with pytest.raises(ImageError) as caught:
        read_reduced_and_full(Replacing(MAX_PIXELS), make_photo(tmp_path / "a.jpg", "red"), 100)
    assert caught.value.kind == "unreadable"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.jpg", "red")
    os.mkfifo(tmp_path / "pipe.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    threading.Thread(target=(tmp_path / "pipe.jpg").write_bytes, args=(data,)).start()
    source = Source(str(tmp_path / "pipe.jpg"), PurePath("pipe.jpg"))
    small, whole = read_reduced_and_full(READER, source, 100)
    assert small is whole
    assert whole.size == (640, 480)
