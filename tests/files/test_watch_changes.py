"""What changes in a watched folder: each image comes once, when it is whole, and none is missed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from helpers.watch_thread import ENDED, JPEG, QUICK, Start, write

from attnimg.files.watch import SETTLE, watch

pytest.importorskip("watchfiles")


class Script:
    """A watch of a folder by a clock that the test moves, and by a system that reports what the test yields."""

    class End(Exception):
        pass

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.found: list[str] = []
        self._folder, self._monkeypatch = folder, monkeypatch

    def play(self, report: Callable[[], Iterator[set[Path]]]) -> None:
        def system(*folders: str, **options: object) -> Iterator[set[tuple[int, str]]]:
            yield set()
            for paths in report():
                yield {(2, str(path)) for path in paths}
            raise Script.End

        self._monkeypatch.setattr("watchfiles.watch", system)
        with pytest.raises(Script.End):
            self.found.extend(source.path for source in watch([self._folder], clock=lambda: self.now))


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    return Script(tmp_path, monkeypatch)


def test_a_file_comes_when_it_has_not_changed_for_a_moment(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "slow.jpg"

    def report() -> Iterator[set[Path]]:
        with path.open("wb", buffering=0) as file:
            for _ in range(5):
                file.write(JPEG)
                yield {path}
                script.now += 0.9 * SETTLE
        yield set()
        assert script.found == []
        script.now += 0.2 * SETTLE
        yield set()
        assert script.found == [str(path)]

    script.play(report)


@pytest.mark.slow
def test_an_empty_file_waits_for_its_content(tmp_path: Path, start_watch: Start) -> None:
    found = start_watch()
    (tmp_path / "in/download.jpg").touch()
    assert found.rest(4 * QUICK) == []
    write(tmp_path / "in/download.jpg")
    assert found.names(1) == ["download.jpg"]


@pytest.mark.slow
def test_a_renamed_file_is_whole_at_once(tmp_path: Path, start_watch: Start) -> None:
    found = start_watch(settle=1000.0)
    folder = tmp_path / "in"
    for name in (".camera.jpg.tmp", "upload.jpg.part"):
        write(folder / name)
    write(tmp_path / "outside")
    write(folder / "unfinished.jpg")
    time.sleep(0.1)  # a clock's tick, so that writing and renaming can be told apart
    (folder / ".camera.jpg.tmp").rename(folder / "a.jpg")
    (folder / "upload.jpg.part").rename(folder / "b.jpg")
    (tmp_path / "outside").rename(folder / "c.jpg")
    assert found.names(3) == ["a.jpg", "b.jpg", "c.jpg"]
    assert found.rest(4 * QUICK) == []


@pytest.mark.slow
def test_a_file_comes_once_whatever_becomes_of_it(tmp_path: Path, start_watch: Start) -> None:
    found = start_watch()
    path = write(tmp_path / "in/a.jpg")
    assert found.names(1) == ["a.jpg"]
    write(path, 2 * JPEG)
    write(tmp_path / "in/first.jpg", 3 * JPEG)
    assert found.rest(4 * QUICK) == []
    path.unlink()
    write(path)
    assert found.rest(4 * QUICK) == []


def test_a_file_that_goes_before_it_is_whole_does_not_come(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "gone.jpg"

    def report() -> Iterator[set[Path]]:
        write(path)
        yield {path}
        script.now += 0.9 * SETTLE
        path.unlink()
        yield {path}
        script.now += SETTLE
        yield set()
        assert script.found == []
        write(path)
        yield {path}
        script.now += SETTLE
        yield set()
        yield set()
        assert script.found == [str(path)]

    script.play(report)


def test_folders_that_come_with_files_in_them(tmp_path: Path, start_watch: Start) -> None:
    found = start_watch()
    for i in range(20):
        write(tmp_path / f"in/made/{i}/deep/er/a.jpg")
    write(tmp_path / "outside/x/b.jpg")
    (tmp_path / "outside").rename(tmp_path / "in/moved")
    assert found.names(21) == sorted([f"made/{i}/deep/er/a.jpg" for i in range(20)] + ["moved/x/b.jpg"])
    write(tmp_path / "in/moved/x/c.jpg")
    assert found.names(1) == ["moved/x/c.jpg"]


@pytest.mark.slow
def test_a_burst_of_a_thousand_files(tmp_path: Path, start_watch: Start) -> None:
    found = start_watch()
    for i in range(1000):
        write(tmp_path / f"in/{i % 7}/{i}.jpg")
    assert found.names(1000) == sorted(f"{i % 7}/{i}.jpg" for i in range(1000))
    assert found.rest(4 * QUICK) == []


@pytest.mark.slow
def test_nothing_is_lost_while_the_folder_is_first_searched(tmp_path: Path, start_watch: Start) -> None:
    """Files are added all along, from before the watch begins until after its first search."""
    folder = tmp_path / "in"
    for i in range(300):
        write(folder / f"old{i}.jpg", old=True)
    stop = Event()
    added = []

    def add() -> None:
        while not stop.is_set():
            added.append(write(folder / f"new{len(added)}.jpg").name)
            time.sleep(0.001)

    adding = Thread(target=add)
    adding.start()
    found = start_watch(folder, ready=False)
    names = found.names(300)
    stop.set()
    adding.join()
    names += found.names(300 + len(added) - len(names))
    assert sorted(names) == sorted([f"old{i}.jpg" for i in range(300)] + added)
    assert found.rest(4 * QUICK) == []


def tell_nothing(*folders: str, **options: object) -> Iterator[set[tuple[int, str]]]:
    while True:
        time.sleep(0.05)
        yield set()


def refuse(*folders: str, **options: object) -> Iterator[set[tuple[int, str]]]:
    raise RuntimeError("Error creating recommended watcher: Too many open files")


@pytest.mark.parametrize("system", [tell_nothing, refuse])
def test_what_the_system_does_not_tell_of_is_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_watch: Start, system: Callable[..., object]
) -> None:
    monkeypatch.setattr("watchfiles.watch", system)
    found = start_watch(search_every=0.2)
    write(tmp_path / "in/x/a.jpg")
    assert found.names(1) == ["x/a.jpg"]


def test_a_folder_that_is_removed_is_an_error_and_the_last_one_ends_the_watch(
    tmp_path: Path, start_watch: Start
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    found = start_watch(one, two)
    one.rename(tmp_path / "away")
    [gone] = found.take(1)
    assert (gone.path, gone.error and gone.error.kind) == (str(one), "missing")
    write(two / "a.jpg")
    assert found.names(1) == ["a.jpg"]
    shutil.rmtree(two)
    [gone, end] = found.take(2)
    assert (gone.path, gone.error and gone.error.kind) == (str(two), "missing")
    assert end is ENDED


@pytest.mark.slow
def test_a_folder_that_is_made_anew_is_watched_on(tmp_path: Path, start_watch: Start) -> None:
    folder = tmp_path / "in"
    found = start_watch()
    (folder / "first.jpg").unlink()
    for i in range(3):
        (tmp_path / "next").mkdir()
        (tmp_path / "next").replace(folder)
        path = write(folder / f"{i}.jpg")
        assert found.names(1) == [path.name]
        path.unlink()
