"""A watched folder: which images come, from where, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path, PurePath

import pytest
from helpers.watch_thread import PATIENCE, QUICK, Start, write

from attnimg.errors import Unavailable, UsageError
from attnimg.files.source import Counts, Source
from attnimg.files.walk import Walker
from attnimg.files.watch import watch

pytest.importorskip("watchfiles")


def test_what_is_there_comes_first_and_then_what_is_added(tmp_path: Path, start_watch: Start) -> None:
    folder = tmp_path / "in"
    for name in ("b.jpg", "a/z.jpg", ".hidden.jpg"):
        write(folder / name)
    write(folder / "notes.txt", b"no image")
    counts = Counts()
    found = start_watch(folder, ready=False, counts=counts)
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


@pytest.mark.slow
def test_the_rules_of_find_hold_for_what_is_added(tmp_path: Path, start_watch: Start) -> None:
    folder, away = tmp_path / "in", tmp_path / "away"
    write(away / "b.jpg")
    found = start_watch(folder, exclude=["raw/", "*.png"], outputs=[folder / "out"], root=tmp_path, ready=False)
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


@pytest.mark.slow
def test_folders_of_folders_are_left_alone_when_told_and_videos_taken(tmp_path: Path, start_watch: Start) -> None:
    found = start_watch(recursive=False, videos=True)
    write(tmp_path / "in/x/a.jpg")
    write(tmp_path / "in/video.mp4", b"moving")
    assert found.names(1) == ["video.mp4"]
    assert found.rest(4 * QUICK) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8(tmp_path: Path, start_watch: Start) -> None:
    found = start_watch()
    for i in range(5):
        write(tmp_path / "in" / os.fsdecode(b"caf\xe9%d.jpg" % i))
        write(tmp_path / f"in/plain{i}.jpg")
    sources = found.take(10)
    assert len({source.path for source in sources}) == 10
    assert sum(b"caf\xe9" in os.fsencode(source.path) for source in sources) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_folder_whose_name_is_not_utf8(tmp_path: Path, start_watch: Start) -> None:
    folder = tmp_path / os.fsdecode(b"\xe9")
    found = start_watch(folder, search_every=0.2)
    write(folder / "a.jpg")
    assert found.names(1) == ["a.jpg"]


@pytest.mark.slow
def test_folders_given_twice_or_below_each_other_yield_each_file_once(tmp_path: Path, start_watch: Start) -> None:
    folder = tmp_path / "in"
    write(folder / "b/old.jpg", old=True)
    (tmp_path / "link").symlink_to("in")
    found = start_watch(folder, folder / "b", tmp_path / "link", ready=False)
    assert found.names(1) == ["b/old.jpg"]
    write(folder / "b/new.jpg")
    assert [PurePath(name).name for name in found.names(1)] == ["new.jpg"]
    assert found.rest(4 * QUICK) == []


def test_named_files_and_patterns_come_once_at_first(tmp_path: Path, start_watch: Start) -> None:
    named = write(tmp_path / "named.jpg")
    for name in ("p1.jpg", "p2.jpg"):
        write(tmp_path / "patterns" / name)
    found = start_watch(tmp_path / "in", named, tmp_path / "patterns/*.jpg", tmp_path / "gone.jpg", ready=False)
    assert found.names(4) == ["gone.jpg", "named.jpg", "p1.jpg", "p2.jpg"]
    write(tmp_path / "patterns/p3.jpg")
    assert found.rest(4 * QUICK) == []


def test_nothing_to_watch_is_wrong_usage(tmp_path: Path) -> None:
    for inputs in ([], [write(tmp_path / "a.jpg")], [tmp_path / "gone"], [tmp_path / "*"], [""]):
        with pytest.raises(UsageError, match="folder"):
            watch(inputs)
    with pytest.raises(UsageError, match="folder"):
        watch([tmp_path], Walker(exclude=[tmp_path.name]))


def test_outputs_that_would_be_inputs_are_wrong_usage(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "link").symlink_to("in")
    for output, root in ((folder, None), (tmp_path / "link", None), (tmp_path, tmp_path)):
        with pytest.raises(UsageError, match="new images"):
            watch([folder], Walker(outputs=[output], root=root))
    watch([folder], Walker(outputs=[folder / "out", tmp_path]))


def test_without_watchfiles_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(Unavailable, match=r"pip install 'attnimg\[watch\]'"):
        watch([tmp_path])


@pytest.mark.slow
def test_a_watch_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Nor does the thread, which is inside the watching library then, make the interpreter complain."""
    code = (
        "import sys, threading, time\n"
        "from attnimg.files.watch import watch\n"
        "class Slow:\n"
        "    def __del__(self, sleep=time.sleep): sleep(0.3)\n"
        "keep = Slow()\n"  # the thread comes back from the library while the interpreter is half gone
        "threading.Thread(target=lambda: list(watch([sys.argv[1]])), daemon=True).start()\n"
        "time.sleep(0.3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
