from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# The program with one more command, whose job needs no torch and takes its time.
PROGRAM = """
import sys, time
from attnimg.cli.main import main
from attnimg.jobs.batch import Batch
from attnimg.jobs.source_queue import SourceQueue
from attnimg.models.registry import TASKS, Reference, Task
from attnimg.pipeline.job import Job
from attnimg.pipeline.journal.journal import Journal
from attnimg.records import Classified

class Slow(Job):
    def admit(self, source): return {}
    def read(self, source, outputs): return time.sleep(0.01)
    def shape(self, ready): return None
    def pixels(self, ready): return 1
    def predict(self, batch): return batch
    def write(self, source, ready, outcome): return Classified(source.path, "slow", ())

def prepare(options, reader, invocation):
    def build():
        print("ready", file=sys.stderr, flush=True)
        return Slow()

    queue = SourceQueue(options.inputs)
    return Batch(options, queue, Journal(), reader, Classified, lambda source: {}, build)

options = Reference("attnimg.options.common:ImageOptions")
TASKS["slow"] = Task("Sleep.", "It sleeps.", "none", options, Reference("__main__:prepare"))
main()
"""


def start(*args: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, "slow", "--batch-size=1", "--workers=1", *args]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def listing(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("photos")
    photo = folder / "photo.jpg"
    photo.touch()
    listing = folder / "list"
    listing.write_text(f"{photo}\n" * 5000)
    return str(listing)


def test_ctrl_c_while_the_program_is_loaded_ends_it_quietly() -> None:
    interrupt = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(name, *rest):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder)\n"
        "from attnimg.__main__ import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", interrupt, "--version"]
    child = subprocess.run(command, capture_output=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (130, b"", b"")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_what_is_finished_is_kept(listing: str, number: signal.Signals, status: int) -> None:
    with start("--from-file", listing, "--format", "json") as child:
        assert child.stdout
        assert child.stderr
        first = child.stdout.readline() + child.stdout.readline()
        child.send_signal(number)
        records = json.loads(first + child.stdout.read())
        last = b"Interrupted: %d done, 0 skipped, 0 failed, 0 passed over" % len(records)
        assert child.stderr.read().splitlines() == [b"ready", last]
    assert 0 < len(records) < 5000
    assert child.returncode == status


@pytest.mark.parametrize("style", ["table", "jsonl", "csv", "json"])
def test_a_closed_stdout_ends_quietly(listing: str, style: str) -> None:
    with start("--from-file", listing, "--format", style) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b"ready\n"
    assert child.returncode == 141


def test_ctrl_c_does_not_wait_for_stdin() -> None:
    with start("--from-file", "-", stdin=subprocess.PIPE) as child:
        assert child.stderr
        assert child.stderr.readline() == b"ready\n"
        time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
        assert child.stderr.read() == b"Interrupted: 0 done, 0 skipped, 0 failed, 0 passed over\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_of_and_is_no_bug(listing: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, "slow", "--from-file", listing, "--format", "jsonl"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert process.returncode == 1
    assert b"cannot be written" in process.stderr
    assert b"Traceback" not in process.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_ctrl_c_does_not_wait_for_a_read_that_hangs(model: Path, listing: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs.jpg")
    paths = [Path(listing).read_text().splitlines()[0], str(tmp_path / "hangs.jpg")]
    command = [sys.executable, "-m", "attnimg", "classify", *paths, "--model", str(model), "--format", "jsonl"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["path"] == paths[0]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)  # it would hang for ever
    assert process.returncode == 130


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_fail_fast_does_not_wait_for_a_read_that_hangs(model: Path, listing: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hangs.jpg")
    empty = Path(listing).read_text().splitlines()[0]
    paths = [empty, str(tmp_path / "hangs.jpg")]
    command = [sys.executable, "-m", "attnimg", "classify", *paths, "--model", str(model), "--fail-fast"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1
    assert b"Stopped at the first failure." in result.stderr
