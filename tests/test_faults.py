"""What happens to a run that is interrupted, robbed of its folders, its disk, its clock; nothing is lost by any of it.

`docs/reliability.md` names these tests.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO, Any

import numpy as np
import pytest
from copy_program import ENDING
from PIL import Image

PROGRAM = Path(__file__).parent / "copy_program.py"
COUNT = 24
SIDE = 32

# Time as a machine sees it whose clock is set again and again, a year forth and then back.
JUMPING = """
import datetime, itertools, runpy, sys, time
real, jumps = time.time, itertools.cycle((0, 3e7, -3e7))
time.time = lambda: real() + next(jumps)
time.time_ns = lambda: int(time.time() * 1e9)
class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Jumping
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Copying:
    """A folder of photos, and the program that copies them, run there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.photos, self.out = folder, folder / "photos", folder / "out"
        self.photos.mkdir()
        self.model = folder / "model.safetensors"
        self.model.write_bytes(b"weights")
        random = np.random.default_rng(0)
        for i in range(COUNT):
            Image.fromarray(random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(self.photos / f"{i:02}.png")

    def start(self, *args: str, program: tuple[str, ...] = (str(PROGRAM),), **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, *program, *args]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=self.folder, **{**pipes, **options})

    def copy(self, *args: str, inputs: str = "photos", **options: Any) -> subprocess.Popen[bytes]:
        return self.start("copy", *inputs.split(), "-o", "out", "--model", "model.safetensors", *args, **options)

    def resume(self, status: int = 0, listed: bytes | None = None) -> list[dict[str, Any]]:
        """Go on with the run of r.jsonl to its end, and return the records."""
        child = self.start("resume", "r.jsonl", stdin=subprocess.PIPE)
        out, err = child.communicate(listed, timeout=60)
        assert child.returncode == status, err
        return records(out)

    def report(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "r.jsonl").read_bytes().splitlines()]

    def check_all_done(self, found: list[dict[str, Any]]) -> None:
        """Assert that each photo has its record and its copy, that no half file is left, and none was done twice."""
        names = listing(self.photos)
        assert [Path(record["path"]).name for record in found] == names
        assert [record["output"] for record in found] == [f"out/{Path(name).stem}{ENDING}" for name in names]
        assert listing(self.out) == [f"{Path(name).stem}{ENDING}" for name in names]
        for record in found:
            assert is_copy(self.folder / record["path"], self.folder / record["output"])
        assert set(Counter(line["path"] for line in self.report() if line["event"] == "done").values()) == {1}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_copy(one: Path, other: Path) -> bool:
    with Image.open(one) as first, Image.open(other) as second:
        return np.array_equal(np.asarray(first), np.asarray(second))


def records(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def kinds(found: list[dict[str, Any]]) -> dict[str, str]:
    return {Path(record["path"]).name: record["error"]["kind"] for record in found if "error" in record}


def stdout(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdout
    return child.stdout


def stdin(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdin
    return child.stdin


def limit_files(size: int) -> Callable[[], None]:
    """Return what makes the disk of a child full: no file takes more bytes than this."""
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))


def close_stdout(child: subprocess.Popen[bytes]) -> None:
    stdout(child).close()
    child.stdout = None


@pytest.fixture
def copying(tmp_path: Path) -> Copying:
    return Copying(tmp_path)


@pytest.mark.parametrize(
    ("stop", "status"),
    [
        (lambda child: child.send_signal(signal.SIGINT), 130),
        (lambda child: child.send_signal(signal.SIGTERM), 143),
        (close_stdout, 141),
        (lambda child: child.kill(), -signal.SIGKILL),
    ],
    ids=["Ctrl-C", "SIGTERM", "closed stdout", "SIGKILL"],
)
def test_a_run_that_is_stopped_goes_on(
    copying: Copying, stop: Callable[[subprocess.Popen[bytes]], None], status: int
) -> None:
    child = copying.copy("--slow", "0.05", "--report", "r.jsonl")
    first = json.loads(stdout(child).readline())
    stop(child)
    child.communicate(timeout=60)
    assert child.returncode == status
    assert len(list(copying.out.iterdir())) < COUNT
    found = copying.resume()
    assert found[0] == first
    copying.check_all_done(found)
    reads = Counter(line["path"] for line in copying.report() if line["event"] == "read")
    assert reads[first["path"]] == 1


def test_outputs_of_a_run_among_its_inputs_are_not_taken_for_new_ones(copying: Copying) -> None:
    args = ("copy", "photos", "-o", "./photos", "--model", "model.safetensors", "--report", "r.jsonl")
    child = copying.start(*args, "--slow", "0.05")
    stdout(child).readline()
    child.kill()
    child.communicate()
    found = copying.resume()
    assert [Path(record["path"]).name for record in found] == [f"{i:02}.png" for i in range(COUNT)]
    assert len(list(copying.photos.iterdir())) == 2 * COUNT


def test_a_disk_that_is_full_for_a_photo_costs_that_photo_and_resuming_makes_up_for_it(copying: Copying) -> None:
    large = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)
    Image.fromarray(large).save(copying.photos / "05.png")
    child = copying.copy("--report", "r.jsonl", preexec_fn=limit_files(100_000))
    out, _ = child.communicate(timeout=60)
    assert (child.returncode, kinds(records(out))) == (1, {"05.png": "write-failed"})
    assert len(listing(copying.out)) == COUNT - 1
    copying.check_all_done(copying.resume())


@pytest.mark.parametrize("size", [1000, 2500, 6001])
def test_a_disk_that_is_full_for_the_report_stops_the_run_and_resuming_goes_on(copying: Copying, size: int) -> None:
    for path in copying.photos.iterdir():
        Image.new("L", (8, 8)).save(path)  # whose copies are smaller than that
    child = copying.copy("--report", "r.jsonl", "--slow", "0.02", preexec_fn=limit_files(size))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert b"r.jsonl cannot be written: File too large. Make room, and go on by `attnimg resume`." in err
    assert (copying.folder / "r.jsonl").stat().st_size == size
    found = copying.resume()
    assert len(found) == len(listing(copying.out)) == COUNT


def test_a_disk_that_is_full_for_the_failures_stops_the_run(copying: Copying) -> None:
    for path in copying.photos.iterdir():
        path.write_bytes(b"")
    child = copying.copy("--errors", "errors.jsonl", preexec_fn=limit_files(500))
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert b"errors.jsonl cannot be written: File too large. Make room" in err
    assert b"Traceback" not in err
    assert b"a bug" not in err


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def lock(folder: Path) -> None:
    """Make a folder one that nobody may write into, not even root."""
    folder.rename(folder.with_name("before"))
    folder.symlink_to("/proc/self/fdinfo")


def unlock(folder: Path) -> None:
    folder.unlink()
    folder.with_name("before").rename(folder)


@pytest.mark.parametrize(
    ("spoil", "mend", "failing"),
    [
        (remove, lambda folder: None, 0),
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
    copying: Copying, spoil: Callable[[Path], None], mend: Callable[[Path], None], failing: int
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


def test_what_changes_between_is_done_anew_and_nothing_else(copying: Copying) -> None:
    (copying.folder / "list").write_text("".join(f"photos/{i:02}.png\n" for i in range(COUNT)))
    args = ("--from-file", "list", "--root", "photos", "--report", "r.jsonl")
    copying.copy(*args, inputs="").communicate(timeout=60)
    before = {path.name: path.stat().st_ino for path in copying.out.iterdir()}
    (copying.photos / "03.png").unlink()
    Image.new("RGB", (9, 9), "red").save(copying.photos / "04.png")
    (copying.out / f"05{ENDING}").unlink()
    os.truncate(copying.out / f"06{ENDING}", 100)
    found = copying.resume(status=1)
    assert kinds(found) == {"03.png": "missing"}
    for i in (4, 5, 6):
        assert is_copy(copying.photos / f"{i:02}.png", copying.out / f"{i:02}{ENDING}")
    after = {path.name: path.stat().st_ino for path in copying.out.iterdir()}
    assert {name for name in after if after[name] != before[name]} <= {f"{i:02}{ENDING}" for i in (4, 5, 6)}
    assert sum(line["event"] == "read" for line in copying.report()) == COUNT + 3


def test_a_model_that_changes_between_is_told_of_and_the_former_one_goes_on(copying: Copying) -> None:
    copying.copy("--report", "r.jsonl", "--fail-fast").communicate(timeout=60)
    copying.model.write_bytes(b"other weights")
    child = copying.start("resume", "r.jsonl")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (2, b"")
    assert b"another sha256" in err
    assert b"Bring that model back" in err
    copying.model.write_bytes(b"weights")
    copying.check_all_done(copying.resume())


def test_a_report_that_is_damaged_or_moved_is_told_of_and_nothing_is_touched(copying: Copying) -> None:
    copying.copy("--report", "r.jsonl").communicate(timeout=60)
    data = (copying.folder / "r.jsonl").read_bytes()
    files = {path: path.stat() for path in copying.out.iterdir()}
    (copying.folder / "r.jsonl").write_bytes(data[:900] + b"\n" + data[900:])
    (copying.folder / "moved.jsonl").write_bytes(data)
    for name, said in (("r.jsonl", b"is damaged at byte"), ("moved.jsonl", b"Move it back there")):
        child = copying.start("resume", name)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (2, b"")
        assert said in err
    assert {path: path.stat() for path in copying.out.iterdir()} == files


def test_a_report_of_which_no_line_is_whole_is_begun_again(copying: Copying) -> None:
    for size in (0, 100):  # killed at once, and a full disk
        child = copying.copy("--report", "r.jsonl", preexec_fn=limit_files(size))
        assert child.wait(timeout=60) == 1
        child.communicate()
        assert (copying.folder / "r.jsonl").stat().st_size == size
        child = copying.start("resume", "r.jsonl")
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (2, b"")
        assert b"Give its command once more" in err
    copying.copy("--report", "r.jsonl").communicate(timeout=60)
    copying.check_all_done(copying.resume())


def test_a_run_that_finds_nothing_leaves_no_report(copying: Copying) -> None:
    shutil.rmtree(copying.photos)
    copying.photos.mkdir()
    child = copying.copy("--report", "r.jsonl")
    child.communicate(timeout=60)
    assert child.returncode == 3
    assert not (copying.folder / "r.jsonl").exists()


def test_a_folder_that_is_gone_is_told_of(copying: Copying) -> None:
    """The one that the command was given in."""
    paths = [str(copying.folder / name) for name in ("photos", "out", "model.safetensors", "r.jsonl")]
    photos, out, model, report = paths
    args = ["copy", photos, "-o", out, "--model", model, "--report", report]
    here = copying.folder / "here"
    here.mkdir()
    command = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", sys.executable, str(PROGRAM), *args]
    child = subprocess.run(command, cwd=here, capture_output=True, timeout=60)
    assert child.returncode == 2
    assert b"The current folder is gone." in child.stderr
    assert not Path(report).exists()


def test_a_clock_that_jumps_changes_no_outcome(copying: Copying) -> None:
    child = copying.copy("--report", "r.jsonl", "--slow", "0.02", program=("-c", JUMPING, str(PROGRAM)))
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    copying.check_all_done(records(out))
    report = copying.report()
    years = {line["at"][:4] for line in report}
    assert len(years) > 1, "the clock did not jump"
    assert all(0 <= line["seconds"] < 60 for line in report if "seconds" in line)
    copying.check_all_done(copying.resume())


@pytest.mark.parametrize("overwrite", [False, True])
def test_each_output_of_two_runs_at_once_is_whole_and_from_one_of_them(copying: Copying, overwrite: bool) -> None:
    options = ["--slow", "0.02", *["--overwrite"] * overwrite]
    runs = [copying.copy(*options, "--grey", grey, "--report", f"{grey}.jsonl") for grey in ("10", "200")]
    outs = [child.communicate(timeout=60)[0] for child in runs]
    failures = [kinds(records(out)) for out in outs]
    made = {path: np.unique(Image.open(path)).tolist() for path in copying.out.iterdir()}
    assert sorted(path.name for path in made) == [f"{i:02}{ENDING}" for i in range(COUNT)]
    assert all(greys in ([10], [200]) for greys in made.values())
    if overwrite:
        assert failures == [{}, {}]
        return
    assert not failures[0].keys() & failures[1].keys()
    assert len(failures[0]) + len(failures[1]) == COUNT
    assert {*failures[0].values(), *failures[1].values()} == {"exists"}
    for name in ("10.jsonl", "200.jsonl"):  # which try again what failed, and rob each other of nothing
        copying.start("resume", name).communicate(timeout=60)
    assert {path: np.unique(Image.open(path)).tolist() for path in copying.out.iterdir()} == made


def test_of_two_that_resume_at_once_one_does(copying: Copying) -> None:
    child = copying.copy("--slow", "0.05", "--report", "r.jsonl")
    stdout(child).readline()
    child.kill()
    child.communicate()
    both = [copying.start("resume", "r.jsonl") for _ in range(2)]
    ends = [(child, *child.communicate(timeout=60)) for child in both]
    (winner, out, _), (loser, nothing, err) = sorted(ends, key=lambda end: end[0].returncode)
    assert (winner.returncode, loser.returncode) == (0, 2)
    assert nothing == b""
    assert b"Another process is at the run" in err
    copying.check_all_done(records(out))


def test_a_file_that_comes_slowly_is_read_to_its_end(copying: Copying) -> None:
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
    names = " ".join(f"photos/{i:02}.png" for i in range(COUNT))
    child = copying.copy("--report", "r.jsonl", inputs=names)
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
def test_a_decoder_that_hangs_or_crashes_costs_one_image(copying: Copying, crash: bool, kind: str) -> None:
    bad = copying.photos / "07.png"
    data = bad.read_bytes()
    bad.unlink()
    os.mkfifo(bad)
    names = " ".join(f"photos/{i:02}.png" for i in range(COUNT))
    args = ("--isolate", "--timeout", "100" if crash else "4", "--report", "r.jsonl")
    child = copying.copy(*args, inputs=names)
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


def test_a_header_that_hangs_or_crashes_costs_one_image(copying: Copying) -> None:
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


def test_every_fault_of_the_document_has_its_test() -> None:
    tests = Path(__file__).parent
    rows = re.findall(
        r"^\| .* \|$", (tests.parent / "docs" / "reliability.md").read_text().split("## Fault by fault")[1], re.M
    )
    assert len(rows) > 20
    for row in rows[1:]:
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
        assert named, row
        assert all(f"\ndef {name}(" in (tests / file).read_text() for file, name in named), row
