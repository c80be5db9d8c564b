"""The recipes of docs/pipelines.md do in real shells what they say."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.results import records
from helpers.shells import BAD, NAMES, PATIENCE, Shell, name_of, needs_bash, photo, require_tools
from PIL import Image

pytestmark = needs_bash
DOCUMENT = ROOT / "docs" / "pipelines.md"
KILLED_AT_FIRST = f"""
if [ -e was-killed ]; then exec {sys.executable} -m attnimg "$@"; fi
touch was-killed
SECONDS_PER_PHOTO=0.3 {sys.executable} -m attnimg "$@" &
until grep -q '"done"' run.jsonl; do sleep 0.05; done 2> /dev/null
kill -9 $!
wait $!
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


BLOCKS = re.findall(r"^## ([^\n]+)|^```(sh|cron)\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


def find_recipes() -> dict[str, str]:
    """Return each block by its heading; the second one below a heading ends in ` 2`."""
    found: dict[str, str] = {}
    heading = ""
    for title, kind, block in BLOCKS:
        if title:
            heading, number = title, 0
            continue
        number += 1
        if kind == "cron":  # five times, and a command in which a percent sign is escaped
            block = block.split(None, 5)[5].replace("\\%", "%")
        found[heading if number == 1 else f"{heading} {number}"] = block
    return found


RECIPES = find_recipes()
Check = Callable[[Shell, int, str, str], None]
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


@check("Any list of photos")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert status == 1
    assert len(records(out)) == len(NAMES) + 1
    assert {b"night/" + name for name in NAMES} == shell.files("bright").keys()


@check("What failed, and once more")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    told, again = out.splitlines()
    assert told.startswith("damaged\tnight/broken.jpg\t")
    assert json.loads(again)["output"] == "bright/broken.jpg"
    assert (status, shell.read("failed-again.jsonl")) == (0, [])
    assert shell.files("bright").keys() == {*NAMES, BAD}


@check("After a crash")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert (status, [event["event"] for event in shell.read("run.jsonl")].count("resumed")) == (1, 1)
    assert sorted(map(name_of, shell.read("records.jsonl"))) == sorted([*NAMES, BAD])
    assert shell.files("bright").keys() == set(NAMES)


@check("Several machines, several processes")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    done = {name_of(record) for record in records(out) if "output" in record}
    assert done == shell.files("bright").keys()
    assert done < set(NAMES)
    assert (shell.folder / "run-1.jsonl").exists()


@check("Several machines, several processes 2")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert sorted(map(name_of, shell.read("labels.jsonl"))) == sorted([*NAMES, BAD])


@check("Several machines, several processes 3")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert sorted(map(name_of, shell.read("records.jsonl"))) == sorted([*NAMES, BAD])
    assert sum(len(shell.read(f"failed-{k}.jsonl")) for k in (1, 2, 3, 4)) == 1


@check("The first few")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert len(records(out)) == 3
    assert status in (1, 141)  # so few records may all be on their way before head ends


@check("Look while it is kept")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    kept = shell.read("labels.jsonl")
    assert len(out.splitlines()) == len(kept) == len(NAMES) + 1
    assert "night/broken.jpg\tdamaged" in out.splitlines()


@check("Count labels")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert out.split() == [str(len(NAMES)), "dark"]


@check("Count labels 2")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert out.split() == [f"dark|{len(NAMES)}"]


@check("One image, through")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert status == 0
    bright = (shell.folder / "bright.jpg").read_bytes()
    assert Image.open(io.BytesIO(bright)).size == (32, 24)
    assert (shell.folder / "bright-too.jpg").read_bytes() == bright
    piped, named = records(out)
    assert piped["predictions"] == named["predictions"]


@check("Names of any bytes")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert status == 0
    assert shell.files("rejected").keys() == {BAD, b"caf\xe9.png"}
    assert shell.files("night").keys() == set(NAMES)


@check("How it ended")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert (status, out) == (0, "")
    assert (shell.folder / "mail").read_text() == "night/broken.jpg\n"


@check("Every night")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert (status, err) == (1, "")
    (failed,) = shell.folder.glob("failed-*.jsonl")
    assert len(shell.read(failed.name)) == 1
    failed.unlink()  # as if it were the next night
    assert shell(f"{RECIPES['Every night']}")[0] == 1
    assert sum("skipped" in record for record in shell.read("records.jsonl")) == len(NAMES)


@check("Only what changed")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert [name_of(record) for record in shell.read("records.jsonl")] == [NAMES[0]]
    assert not (shell.folder / "this-run").exists()
    assert shell.files("bright").keys() == {NAMES[0]}
    (shell.folder / "last-run").unlink()  # as if it were the first start
    shell(RECIPES["Only what changed"])
    assert shell.files("bright").keys() == {name for name in NAMES if name.lower().endswith(b".jpg")}


@check("Files from strangers")
def _(shell: Shell, status: int, out: str, err: str) -> None:
    assert status == 1
    assert [record["error"]["kind"] for record in shell.read("refused.jsonl")] == ["too-large", "damaged"]
    assert len(shell.read("labels.jsonl")) == 3


def prepare(shell: Shell, name: str) -> None:
    """Make what a recipe takes for granted."""
    shell.put(b"backup/night/" + BAD, photo(8))
    shell.put(b"dark.jpg", photo(9))
    shell.environment["SLURM_ARRAY_TASK_ID"] = "1"
    match name:
        case "After a crash":
            shell.put(shell.programs / "attnimg", f"#!/bin/sh\n{KILLED_AT_FIRST}".encode())
        case "Names of any bytes":
            shell.put(b"night/caf\xe9.png", b"no image")
        case "Only what changed":
            shell.put(b"last-run", b"")
            for path in (shell.folder / "night").rglob("*"):
                os.utime(path, (1e9, 1e9))
            os.utime(shell.folder / "night" / os.fsdecode(NAMES[0]))
            os.utime(shell.folder / "last-run", (1.5e9, 1.5e9))
        case "Files from strangers":
            (shell.folder / "uploads").mkdir()
            shell.put(b"uploads/a.jpg", photo(0))
            Image.new("1", (10_000, 10_000)).save(shell.folder / "uploads" / "bomb.png")
            shell.put(b"uploads/cut.jpg", photo(0)[:300])


def test_every_recipe_is_checked() -> None:
    assert RECIPES.keys() == {*CHECKS, "A camera's folder"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_recipes_do_what_they_say(shell: Shell, name: str) -> None:
    require_tools(RECIPES[name])
    prepare(shell, name)
    CHECKS[name](shell, *shell(RECIPES[name]))


@pytest.mark.slow
def test_a_camera_is_followed_until_ctrl_c(shell: Shell) -> None:
    pytest.importorskip("watchfiles")
    recipe = RECIPES["A camera's folder"]
    require_tools(recipe)
    camera = shell.folder / "camera"
    camera.mkdir()
    (camera / "1.jpg").write_bytes(photo(1))
    # As on a terminal, all of the pipe hear Ctrl-C; this shell is to live on and tell what became of them.
    script = f'trap : INT\n{recipe}\necho "${{PIPESTATUS[0]}}"'
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with shell.start(script, start_new_session=True, **pipes) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"bright/1.jpg\n"
        (camera / ".part").write_bytes(photo(2))
        (camera / ".part").rename(camera / "2.jpg")
        assert child.stdout.readline() == b"bright/2.jpg\n"
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=PATIENCE)
    assert (out, err) == (b"130\n", b"Interrupted: 2 done, 0 skipped, 0 failed, 0 passed over\n")
    assert shell.files("bright").keys() == {b"1.jpg", b"2.jpg"}
