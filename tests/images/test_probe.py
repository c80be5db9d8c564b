"""How often a photo is opened: its header is looked at once, and its pixels once."""

from __future__ import annotations

import builtins
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest
from helpers.attack_corpus import make_seeds
from helpers.dark_photos import dark
from helpers.results import Run

from attnimg.files.source import Source
from attnimg.images.probe import probe

Opens = Callable[[Path], int]


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Return how often a file was opened since the test began; its name may not be another file's."""
    counts: Counter[str] = Counter()
    open_file = io.open

    def open_and_count(file: Any, *rest: Any, **options: Any) -> Any:
        if isinstance(file, str | PurePath):
            counts[PurePath(file).name] += 1
        return open_file(file, *rest, **options)

    monkeypatch.setattr(builtins, "open", open_and_count)
    monkeypatch.setattr(io, "open", open_and_count)  # by that name pathlib knows it
    return lambda path: counts[path.name]


@pytest.mark.parametrize("name", make_seeds())
def test_a_probe_opens_its_file_once(name: str, tmp_path: Path, opens: Opens) -> None:
    (tmp_path / name).write_bytes(make_seeds()[name])
    before = opens(tmp_path / name)
    assert (probe(Source(str(tmp_path / name), PurePath(name))).pixels or 0) >= 40 * 30  # a HEIC is padded
    assert opens(tmp_path / name) == before + 1


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
@pytest.mark.parametrize("is_listed", [False, True])
def test_an_enhanced_photo_is_opened_twice(
    format: str, is_listed: bool, enhance: Run, tmp_path: Path, opens: Opens
) -> None:
    photo = tmp_path / "photos" / f"photo.{format.lower()}"
    photo.parent.mkdir()
    dark(0).save(photo, format)
    before = opens(photo)
    status, _, _ = enhance(photo.parent if is_listed else photo, "-o", tmp_path / "out", "--save-as", "webp")
    assert status == 0
    assert (tmp_path / "out" / "photo.webp").is_file()
    assert opens(photo) == before + 2
