"""Faults of the disk: it is full, or the folders are gone or read-only.

`docs/reliability.md` names these tests.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from helpers.copy_processes import COUNT, PROGRAM, Copier, kinds, limit_files, listing, stdout
from helpers.copy_task import ENDING
from helpers.results import records
from PIL import Image

pytestmark = pytest.mark.slow

# The log tells of each photo, not now and then.
TALKATIVE = """
from attnimg.cli.terminal import progress
progress.LOG_EVERY = 0
"""


def test_a_disk_that_is_full_for_a_photo_costs_that_photo_and_resuming_makes_up_for_it(copying: Copier) -> None:
    large = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(large).save(copying.photos / "05.png")
    child = copying.copy("--report", "r.jsonl", preexec_fn=limit_files(100_000))
    out, _ = child.communicate(timeout=60)
    assert (child.returncode, kinds(records(out))) == (1, {"05.png": "write-failed"})
    assert len(listing(copying.out)) == COUNT - 1
    copying.check_all_done(copying.resume())


@pytest.mark.parametrize("size", [1000, 2500, 6001])
def test_a_disk_that_is_full_for_the_report_stops_the_run_and_resuming_goes_on(copying: Copier, size: int) -> None:
    for path in copying.photos.iterdir():
        Image.new("L", (8, 8)).save(path)  # whose copies are smaller than that
    child = copying.copy("--report", "r.jsonl", "--slow", "0.02", preexec_fn=limit_files(size))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert b"r.jsonl cannot be written: File too large. Make room, and continue with `attnimg resume`." in err
    assert (copying.folder / "r.jsonl").stat().st_size == size
    found = copying.resume()
    assert len(found) == len(listing(copying.out)) == COUNT


def test_a_report_of_which_no_line_is_whole_is_begun_again(copying: Copier) -> None:
    for size in (0, 100):  # killed at once, and a full disk
        child = copying.copy("--report", "r.jsonl", preexec_fn=limit_files(size))
        assert child.wait(timeout=60) == 1
        child.communicate()
        assert (copying.folder / "r.jsonl").stat().st_size == size
        child = copying.start("resume", "r.jsonl")
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (2, b"")
        assert b"Run the original command again" in err
    copying.copy("--report", "r.jsonl").communicate(timeout=60)
    copying.check_all_done(copying.resume())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_for_the_log_stops_nothing(copying: Copier) -> None:
    with Path("/dev/full").open("wb") as full:
        child = copying.copy("--report", "r.jsonl", before=TALKATIVE, stderr=full)
        out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    copying.check_all_done(records(out))


def test_a_disk_that_is_full_for_the_failures_stops_the_run(copying: Copier) -> None:
    for path in copying.photos.iterdir():
        path.write_bytes(b"")
    child = copying.copy("--errors", "errors.jsonl", preexec_fn=limit_files(500))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert b"errors.jsonl cannot be written: File too large. Make room" in err
    assert b"Traceback" not in err
    assert b"a bug" not in err


def lock(folder: Path) -> None:
    """Make a folder one that nobody may write into, not even root."""
    folder.rename(folder.with_name("before"))
    folder.symlink_to("/proc/self/fdinfo")


def unlock(folder: Path) -> None:
    folder.unlink()
    folder.with_name("before").rename(folder)


def stdin(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdin
    return child.stdin


@pytest.mark.parametrize(
    ("spoil", "mend", "failing"),
    [
        (shutil.rmtree, lambda folder: None, 0),
        pytest.param(
            lock,
            unlock,
            COUNT - 1,
            marks=pytest.mark.skipif(not Path("/proc/self/fdinfo").is_dir(), reason="anybody may write anywhere"),
        ),
    ],
    ids=["removed", "read-only"],
)
def test_a_folder_that_is_spoilt_in_mid_run_and_a_list_that_is_piped_again(
    copying: Copier, spoil: Callable[[Path], None], mend: Callable[[Path], None], failing: int
) -> None:
    first, *rest = (b"photos/%02d.png\n" % i for i in range(COUNT))
    child = copying.copy(
        "--from-file", "-", "--root", "photos", "--report", "r.jsonl", inputs="", stdin=subprocess.PIPE
    )
    stdin(child).write(first)
    stdin(child).flush()
    assert "output" in json.loads(stdout(child).readline())
    spoil(copying.out)
    out, _ = child.communicate(b"".join(rest), timeout=60)
    assert (child.returncode, Counter(kinds(records(out)).values())) == (
        bool(failing),
        Counter({"write-failed": failing} if failing else {}),
    )
    mend(copying.out)
    found = copying.resume(listed=first + b"".join(rest))
    assert [record["path"] for record in found] == [line.decode().strip() for line in (first, *rest)]
    assert listing(copying.out) == [f"{i:02}{ENDING}" for i in range(COUNT)]


def test_a_folder_that_is_gone_is_told_of(copying: Copier) -> None:
    """The one that the command was given in."""
    paths = [str(copying.folder / name) for name in ("photos", "out", "model.safetensors", "r.jsonl")]
    photos, out, model, report = paths
    args = ["copy", photos, "-o", out, "--model", model, "--report", report]
    here = copying.folder / "here"
    here.mkdir()
    command = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", sys.executable, str(PROGRAM), *args]
    child = subprocess.run(command, cwd=here, capture_output=True, timeout=60)
    assert child.returncode == 2
    assert b"The current folder no longer exists." in child.stderr
    assert not Path(report).exists()


def test_a_run_that_finds_nothing_leaves_no_report(copying: Copier) -> None:
    shutil.rmtree(copying.photos)
    copying.photos.mkdir()
    child = copying.copy("--report", "r.jsonl")
    child.communicate(timeout=60)
    assert child.returncode == 3
    assert not (copying.folder / "r.jsonl").exists()
