"""Faults of the photos: one comes slowly, or hangs or crashes whatever reads it.

`docs/reliability.md` names these tests.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from helpers.copy_processes import COUNT, PROGRAM, Copier, is_copy, kinds, listing
from helpers.copy_task import ENDING
from helpers.results import records
from PIL import Image

pytestmark = pytest.mark.slow


def test_a_file_that_comes_slowly_is_read_to_its_end(copying: Copier) -> None:
    slow = copying.photos / "07.png"
    data = slow.read_bytes()
    slow.unlink()
    os.mkfifo(slow)

    def feed() -> None:
        with slow.open("wb", buffering=0) as pipe:
            for at in range(0, len(data), 400):
                pipe.write(data[at : at + 400])
                time.sleep(0.05)

    thread = Thread(target=feed)
    thread.start()
    child = copying.copy("--report", "r.jsonl", inputs=copying.each)
    out, err = child.communicate(timeout=60)
    thread.join()
    assert child.returncode == 0, err
    (copying.folder / "same.png").write_bytes(data)
    assert is_copy(copying.folder / "same.png", copying.out / f"07{ENDING}")
    assert len(records(out)) == COUNT


def wait_for_reader(child: subprocess.Popen[bytes], path: Path) -> int:
    """Wait until one of a process's children reads a file, and return the child's id."""
    while child.poll() is None:
        for children in Path(f"/proc/{child.pid}/task").glob("*/children"):
            for pid in children.read_text().split():
                with suppress(OSError):  # it has ended, or closed a file
                    if any(file.exists() and file.samefile(path) for file in Path(f"/proc/{pid}/fd").iterdir()):
                        return int(pid)
        time.sleep(0.02)
    raise AssertionError(child.communicate())


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux tells of children")
@pytest.mark.parametrize(("crash", "kind"), [(False, "timeout"), (True, "damaged")], ids=["hangs", "crashes"])
def test_a_decoder_that_hangs_or_crashes_costs_one_image(copying: Copier, crash: bool, kind: str) -> None:
    bad = copying.photos / "07.png"
    data = bad.read_bytes()
    bad.unlink()
    os.mkfifo(bad)
    args = ("--isolate", "--timeout", "100" if crash else "4", "--report", "r.jsonl")
    child = copying.copy(*args, inputs=copying.each)
    writer = os.open(bad, os.O_RDWR)  # nobody waits for the other end, and nothing ever comes
    if crash:
        os.kill(wait_for_reader(child, bad), signal.SIGSEGV)
    out, err = child.communicate(timeout=60)
    os.close(writer)
    assert (child.returncode, kinds(records(out))) == (1, {"07.png": kind}), err
    assert len(listing(copying.out)) == COUNT - 1
    bad.unlink()
    bad.write_bytes(data)
    copying.check_all_done(copying.resume())


def test_a_header_that_hangs_or_crashes_costs_one_image(copying: Copier) -> None:
    """In a library that has the fault in whichever process opens the file."""
    bad = {copying.photos / f"{i:02}.png": fault for i, fault in ((7, b"crash"), (15, b"hang"))}
    before = {path: path.read_bytes() for path in bad}
    for path, fault in bad.items():
        Image.open(path).save(path, "JPEG")
        path.write_bytes(path.read_bytes() + fault)
    env = {**os.environ, "PYTHONPATH": str(PROGRAM.parent / "faulty")}
    child = copying.copy("--isolate", "--timeout", "2", "--report", "r.jsonl", env=env)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, kinds(records(out))) == (1, {"07.png": "damaged", "15.png": "timeout"}), err
    assert len(listing(copying.out)) == COUNT - 2
    for path, data in before.items():
        path.write_bytes(data)
    copying.check_all_done(copying.resume())
