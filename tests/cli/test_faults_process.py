"""Faults of the process: it is stopped, its clock jumps, another one does the same work.

`docs/reliability.md` names these tests.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.copy_processes import COUNT, Copier, kinds, stdout
from helpers.copy_task import ENDING
from helpers.results import records
from PIL import Image

pytestmark = pytest.mark.slow

# Time as a machine sees it whose clock is set again and again, a year forth and then back.
JUMPING = """
import datetime, itertools, time
real, jumps = time.time, itertools.cycle((0, 3e7, -3e7))
time.time = lambda: real() + next(jumps)
time.time_ns = lambda: int(time.time() * 1e9)
class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Jumping
"""


def close_stdout(child: subprocess.Popen[bytes]) -> None:
    stdout(child).close()
    child.stdout = None


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
    copying: Copier, stop: Callable[[subprocess.Popen[bytes]], None], status: int
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


def test_outputs_of_a_run_among_its_inputs_are_not_taken_for_new_ones(copying: Copier) -> None:
    args = ("copy", "photos", "-o", "./photos", "--model", "model.safetensors", "--report", "r.jsonl")
    child = copying.start(*args, "--slow", "0.05")
    stdout(child).readline()
    child.kill()
    child.communicate()
    found = copying.resume()
    assert [Path(record["path"]).name for record in found] == [f"{i:02}.png" for i in range(COUNT)]
    assert len(list(copying.photos.iterdir())) == 2 * COUNT


def test_a_clock_that_jumps_changes_no_outcome(copying: Copier) -> None:
    child = copying.copy("--report", "r.jsonl", "--slow", "0.02", before=JUMPING)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    copying.check_all_done(records(out))
    report = copying.report()
    years = {line["at"][:4] for line in report}
    assert len(years) > 1, "the clock did not jump"
    assert all(0 <= line["seconds"] < 60 for line in report if "seconds" in line)
    copying.check_all_done(copying.resume())


@pytest.mark.parametrize("overwrite", [False, True])
def test_each_output_of_two_runs_at_once_is_whole_and_from_one_of_them(copying: Copier, overwrite: bool) -> None:
    options = ["--slow", "0.02", *["--overwrite"] * overwrite]
    runs = [copying.copy(*options, "--gray", gray, "--report", f"{gray}.jsonl") for gray in ("10", "200")]
    outs = [child.communicate(timeout=60)[0] for child in runs]
    failures = [kinds(records(out)) for out in outs]
    made = {path: np.unique(Image.open(path)).tolist() for path in copying.out.iterdir()}
    assert sorted(path.name for path in made) == [f"{i:02}{ENDING}" for i in range(COUNT)]
    assert all(grays in ([10], [200]) for grays in made.values())
    if overwrite:
        assert failures == [{}, {}]
        return
    assert not failures[0].keys() & failures[1].keys()
    assert len(failures[0]) + len(failures[1]) == COUNT
    assert {*failures[0].values(), *failures[1].values()} == {"exists"}
    for name in ("10.jsonl", "200.jsonl"):  # which try again what failed, and rob each other of nothing
        copying.start("resume", name).communicate(timeout=60)
    assert {path: np.unique(Image.open(path)).tolist() for path in copying.out.iterdir()} == made


def test_of_two_that_resume_at_once_one_does(copying: Copier) -> None:
    child = copying.copy("--slow", "0.05", "--report", "r.jsonl")
    stdout(child).readline()
    child.kill()
    child.communicate()
    both = [copying.start("resume", "r.jsonl") for _ in range(2)]
    ends = [(child, *child.communicate(timeout=60)) for child in both]
    (winner, out, _), (loser, nothing, err) = sorted(ends, key=lambda end: end[0].returncode)
    assert (winner.returncode, loser.returncode) == (0, 2)
    assert nothing == b""
    assert b"Another process is using r.jsonl" in err
    copying.check_all_done(records(out))
