"""A watched folder: each image comes once, when it is whole, and no earlier."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from queue import Empty, Queue
from threading import Event, Thread
from types import SimpleNamespace

import pytest

pytest.importorskip("watchfiles")

from attnimg.errors import Unavailable, UsageError
from attnimg.images import watch as watching
from attnimg.images.source import Counts, Source
from attnimg.images.watch import watch

JPEG = b"\xff\xd8\xff\xe0" + bytes(60)
QUICK = 0.15  # seconds after which a file is whole here
PATIENCE = 30.0  # seconds until a busy machine has failed
ENDED = Source("the watch has ended", PurePath())

Start = Callable[..., "Watch"]


class Watch:
    """A watch on a thread of its own, as commands have it."""

    def __init__(self, *inputs: Path, **options: object) -> None:
        self._found: Queue[Source] = Queue()
        self._stop = Event()
        self.sources = watch(inputs, **options)  # type: ignore[arg-type]
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for source in self.sources:
            self._found.put(source)
            if self._stop.is_set():
                return
        self._found.put(ENDED)

    def take(self, count: int) -> list[Source]:
        return [self._found.get(timeout=PATIENCE) for _ in range(count)]

    def names(self, count: int) -> list[str]:
        return sorted(source.relative.as_posix() for source in self.take(count))

    def rest(self, seconds: float) -> list[str]:
        """What comes within a time."""
        time.sleep(seconds)
        found = []
        while True:
            try:
                found.append(self._found.get_nowait().relative.as_posix())
            except Empty:
                return found

    def stop(self) -> None:
        self._stop.set()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a watch of a folder with one image in it, and return when it has begun."""
    watches: list[Watch] = []
    monkeypatch.setattr(watching, "SETTLE", QUICK)

    def start(*inputs: Path, ready: bool = True, **options: object) -> Watch:
        folder = inputs[0] if inputs else tmp_path / "in"
        folder.mkdir(exist_ok=True)
        if ready:
            write(folder / "first.jpg", old=True)
        watches.append(Watch(*(inputs or [folder]), **options))
        if ready:
            assert watches[-1].names(1) == ["first.jpg"]
        return watches[-1]

    yield start
    for started in watches:
        started.stop()


def write(path: Path, data: bytes = JPEG, *, old: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if old:
        os.utime(path, (1e9, 1e9))
    return path


def test_what_is_there_comes_first_and_then_what_is_added(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "in"
    for name in ("b.jpg", "a/z.jpg", ".hidden.jpg"):
        write(folder / name)
    write(folder / "notes.txt", b"no image")
    counts = Counts()
    found = start(folder, ready=False, counts=counts)
    assert found.names(2) == ["a/z.jpg", "b.jpg"]
    write(folder / "c.jpg")
    write(folder / "by-content")
    write(folder / "more.txt", b"no image")
    sources = sorted(found.take(2), key=lambda s: s.path)
    assert sources == [
        Source(str(folder / "by-content"), PurePath("by-content")),
        Source(str(folder / "c.jpg"), PurePath("c.jpg")),
    ]
    deadline = time.monotonic() + PATIENCE
    while counts.passed_over < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert counts.passed_over == 2


def test_the_rules_of_find_hold_for_what_is_added(tmp_path: Path, start: Start) -> None:
    folder, away = tmp_path / "in", tmp_path / "away"
    write(away / "b.jpg")
    found = start(folder, exclude=["raw/", "*.png"], outputs=[folder / "out"], root=tmp_path, ready=False)
    for name in (".hidden.jpg", ".git/a.jpg", "raw/a.jpg", "x/raw/a.jpg", "a.png", "out/a.jpg"):
        write(folder / name)
    write(folder / "video.mp4", b"moving")
    (folder / "link").symlink_to(away)
    write(folder / "z/dead.jpg").unlink()
    (folder / "z/dead.jpg").symlink_to("nothing")
    (folder / "z/link.jpg").symlink_to(away / "b.jpg")
    assert found.names(2) == ["in/z/dead.jpg", "in/z/link.jpg"]
    write(away / "later.jpg")
    write(folder / "z/last.jpg")
    assert found.names(1) == ["in/z/last.jpg"]
    assert found.rest(4 * QUICK) == []


def test_folders_of_folders_are_left_alone_when_told_and_videos_taken(tmp_path: Path, start: Start) -> None:
    found = start(recursive=False, videos=True)
    write(tmp_path / "in/x/a.jpg")
    write(tmp_path / "in/video.mp4", b"moving")
    assert found.names(1) == ["video.mp4"]
    assert found.rest(4 * QUICK) == []


def test_a_file_comes_when_it_has_not_changed_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that the test moves, and a system that tells what the test makes it tell."""
    import watchfiles

    class End(Exception):
        pass

    now = 0.0
    found: list[str] = []
    path = tmp_path / "slow.jpg"

    def tell(*folders: str, **options: object) -> Iterator[set[tuple[int, str]]]:
        nonlocal now
        yield set()
        with path.open("wb", buffering=0) as file:
            for _ in range(5):
                file.write(JPEG)
                yield {(2, str(path))}
                now += 0.9 * watching.SETTLE
        yield set()
        assert found == []
        now += 0.2 * watching.SETTLE
        yield set()
        assert found == [str(path)]
        raise End

    monkeypatch.setattr(watchfiles, "watch", tell)
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now, time=time.time))
    with pytest.raises(End):
        found.extend(source.path for source in watch([tmp_path]))


def test_an_empty_file_waits_for_its_content(tmp_path: Path, start: Start) -> None:
    found = start()
    (tmp_path / "in/download.jpg").touch()
    assert found.rest(4 * QUICK) == []
    write(tmp_path / "in/download.jpg")
    assert found.names(1) == ["download.jpg"]


def test_a_renamed_file_is_whole_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    found = start()
    monkeypatch.setattr(watching, "SETTLE", 1000.0)
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


def test_a_file_comes_once_whatever_becomes_of_it(tmp_path: Path, start: Start) -> None:
    found = start()
    path = write(tmp_path / "in/a.jpg")
    assert found.names(1) == ["a.jpg"]
    write(path, 2 * JPEG)
    write(tmp_path / "in/first.jpg", 3 * JPEG)
    assert found.rest(4 * QUICK) == []
    path.unlink()
    write(path)
    assert found.rest(4 * QUICK) == []


def test_a_file_that_goes_before_it_is_whole_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    found = start()
    monkeypatch.setattr(watching, "SETTLE", 5.0)
    path = write(tmp_path / "in/gone.jpg")
    time.sleep(0.3)  # so that it waits
    path.unlink()
    monkeypatch.setattr(watching, "SETTLE", QUICK)
    assert found.rest(4 * QUICK) == []
    write(path)
    assert found.names(1) == ["gone.jpg"]


def test_folders_that_come_with_files_in_them(tmp_path: Path, start: Start) -> None:
    found = start()
    for i in range(20):
        write(tmp_path / f"in/made/{i}/deep/er/a.jpg")
    write(tmp_path / "outside/x/b.jpg")
    (tmp_path / "outside").rename(tmp_path / "in/moved")
    assert found.names(21) == sorted([f"made/{i}/deep/er/a.jpg" for i in range(20)] + ["moved/x/b.jpg"])
    write(tmp_path / "in/moved/x/c.jpg")
    assert found.names(1) == ["moved/x/c.jpg"]


def test_a_burst_of_a_thousand_files(tmp_path: Path, start: Start) -> None:
    found = start()
    for i in range(1000):
        write(tmp_path / f"in/{i % 7}/{i}.jpg")
    assert found.names(1000) == sorted(f"{i % 7}/{i}.jpg" for i in range(1000))
    assert found.rest(4 * QUICK) == []


def test_nothing_is_lost_while_the_folder_is_first_searched(tmp_path: Path, start: Start) -> None:
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
    found = start(folder, ready=False)
    names = found.names(300)
    stop.set()
    adding.join()
    names += found.names(300 + len(added) - len(names))
    assert sorted(names) == sorted([f"old{i}.jpg" for i in range(300)] + added)
    assert found.rest(4 * QUICK) == []


def test_what_the_system_does_not_tell_of_is_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    import watchfiles

    def deaf(*folders: str, **options: object) -> Iterator[set[tuple[int, str]]]:
        while True:
            time.sleep(0.05)
            yield set()

    monkeypatch.setattr(watchfiles, "watch", deaf)
    monkeypatch.setattr(watching, "AGAIN", 0.2)
    found = start()
    write(tmp_path / "in/x/a.jpg")
    assert found.names(1) == ["x/a.jpg"]


def test_a_system_that_cannot_watch_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    import watchfiles

    def refuse(*folders: str, **options: object) -> Iterator[set[tuple[int, str]]]:
        raise RuntimeError("Error creating recommended watcher: Too many open files")

    monkeypatch.setattr(watchfiles, "watch", refuse)
    monkeypatch.setattr(watching, "AGAIN", 0.2)
    found = start()
    write(tmp_path / "in/a.jpg")
    assert found.names(1) == ["a.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8(tmp_path: Path, start: Start) -> None:
    found = start()
    for i in range(5):
        write(tmp_path / "in" / os.fsdecode(b"caf\xe9%d.jpg" % i))
        write(tmp_path / f"in/plain{i}.jpg")
    sources = found.take(10)
    assert len({source.path for source in sources}) == 10
    assert sum(b"caf\xe9" in os.fsencode(source.path) for source in sources) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_folder_whose_name_is_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    monkeypatch.setattr(watching, "AGAIN", 0.2)
    folder = tmp_path / os.fsdecode(b"\xe9")
    found = start(folder)
    write(folder / "a.jpg")
    assert found.names(1) == ["a.jpg"]


def test_folders_given_twice_or_below_each_other_yield_each_file_once(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "in"
    write(folder / "b/old.jpg", old=True)
    (tmp_path / "link").symlink_to("in")
    found = start(folder, folder / "b", tmp_path / "link", ready=False)
    assert found.names(1) == ["b/old.jpg"]
    write(folder / "b/new.jpg")
    assert [PurePath(name).name for name in found.names(1)] == ["new.jpg"]
    assert found.rest(4 * QUICK) == []


def test_named_files_and_patterns_come_once_at_first(tmp_path: Path, start: Start) -> None:
    named = write(tmp_path / "named.jpg")
    for name in ("p1.jpg", "p2.jpg"):
        write(tmp_path / "patterns" / name)
    found = start(tmp_path / "in", named, tmp_path / "patterns/*.jpg", tmp_path / "gone.jpg", ready=False)
    assert found.names(4) == ["gone.jpg", "named.jpg", "p1.jpg", "p2.jpg"]
    write(tmp_path / "patterns/p3.jpg")
    assert found.rest(4 * QUICK) == []


def test_a_folder_that_is_removed_is_an_error_and_the_last_one_ends_the_watch(tmp_path: Path, start: Start) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    found = start(one, two)
    one.rename(tmp_path / "away")
    [gone] = found.take(1)
    assert (gone.path, gone.error and gone.error.kind) == (str(one), "missing")
    write(two / "a.jpg")
    assert found.names(1) == ["a.jpg"]
    shutil.rmtree(two)
    [gone, end] = found.take(2)
    assert (gone.path, gone.error and gone.error.kind) == (str(two), "missing")
    assert end is ENDED


def test_a_folder_that_is_made_anew_is_watched_on(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "in"
    found = start()
    (folder / "first.jpg").unlink()
    for i in range(3):
        (tmp_path / "next").mkdir()
        (tmp_path / "next").replace(folder)
        path = write(folder / f"{i}.jpg")
        assert found.names(1) == [path.name]
        path.unlink()


def test_nothing_to_watch_is_wrong_usage(tmp_path: Path) -> None:
    for inputs in ([], [write(tmp_path / "a.jpg")], [tmp_path / "gone"], [tmp_path / "*"]):
        with pytest.raises(UsageError, match="folder"):
            watch(inputs)
    with pytest.raises(UsageError, match="folder"):
        watch([tmp_path], exclude=[tmp_path.name])


def test_outputs_that_would_be_inputs_are_wrong_usage(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "link").symlink_to("in")
    for output, root in ((folder, None), (tmp_path / "link", None), (tmp_path, tmp_path)):
        with pytest.raises(UsageError, match="new images"):
            watch([folder], outputs=[output], root=root)
    watch([folder], outputs=[folder / "out", tmp_path])


def test_without_watchfiles_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(Unavailable, match=r"pip install 'attnimg\[watch\]'"):
        watch([tmp_path])


def test_a_watch_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Nor does the thread, which is inside the watching library then, make the interpreter complain."""
    code = (
        "import sys, threading, time\n"
        "from attnimg.images.watch import watch\n"
        "class Slow:\n"
        "    def __del__(self, sleep=time.sleep): sleep(0.3)\n"
        "keep = Slow()\n"  # the thread comes back from the library while the interpreter is half gone
        "threading.Thread(target=lambda: list(watch([sys.argv[1]])), daemon=True).start()\n"
        "time.sleep(0.3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
