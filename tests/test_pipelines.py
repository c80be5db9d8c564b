"""Manners in real shells: pipes, exit statuses, odd names, stopping early, and the recipes of docs/pipelines.md.

The nets stand aside, as loading torch takes seconds a time and other tests see to them; all else is the real program.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from PIL import Image

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("bash"), reason="the shells here are bash with GNU's tools"
)

DOCUMENT = Path(__file__).parent.parent / "docs" / "pipelines.md"
TOOLS = ("jq", "parallel", "sqlite3", "flock")
PATIENCE = 60.0  # seconds; what hangs takes for ever
NAMES = [b"a b.jpg", b"caf\xe9.jpg", b'it\'s "so".jpg', b"new\nline.jpg", b"$(rm -rf x).jpg", b"sub/-n.jpg"]
BAD = b"broken.jpg"

# Python runs a module `sitecustomize` when it starts. Instead of the real nets this puts one that makes negatives.
STAND_IN = """
import os, sys, threading, time
from types import ModuleType, SimpleNamespace
from attnimg.results import Prediction

class Net:
    model, shortest, lock = "stand-in", 64, threading.Lock()
    def prepare(self, pixels):
        with self.lock:
            time.sleep(float(os.environ.get("SECONDS_PER_PHOTO", 0)))
        return SimpleNamespace(views=pixels)
    def predict(self, prepared, settings=None, *, attention=False):
        return [SimpleNamespace(pixels=255 - one.views, attention=None) for one in prepared]
    def best(self, outcome, topk, min_score):
        light = 1 - float(outcome.pixels.mean() / 255)
        ranked = sorted([("bright", light), ("dark", 1 - light)], key=lambda label: -label[1])
        return tuple(Prediction(name, name, score) for name, score in ranked[:topk])

for task, name in (("classify", "classifier"), ("enhance", "enhancer")):
    module = ModuleType(f"attnimg.tasks.{task}")
    setattr(module, f"load_{name}", lambda *args, **options: Net())
    module.Settings = SimpleNamespace if task == "classify" else lambda *args: args
    sys.modules[module.__name__] = module
"""

PROGRAMS = {
    "attnimg": f'exec {sys.executable} -m attnimg "$@"',
    "curl": 'for last; do :; done; exec cat "${last##*/}"',
    "ssh": 'shift; exec sh -c "$*"',
    "mail": "exec cat > mail",
}
KILLED_AT_FIRST = f"""
if [ -e was-killed ]; then exec {sys.executable} -m attnimg "$@"; fi
touch was-killed
SECONDS_PER_PHOTO=0.3 {sys.executable} -m attnimg "$@" &
until grep -q '"done"' run.jsonl; do sleep 0.05; done 2> /dev/null
kill -9 $!
wait $!
"""


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 90, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG")
    return file.getvalue()


class Shell:
    """bash in a folder of its own; `night` holds photos with odd names and one that is none, `good` is a whole one."""

    def __init__(self, folder: Path) -> None:
        self.folder, programs, stand_in = folder / "home", folder / "bin", folder / "stand-in"
        for made in (self.folder / "night" / "sub", self.folder / "backup" / "night", programs, stand_in):
            made.mkdir(parents=True)
        (stand_in / "sitecustomize.py").write_text(STAND_IN)
        for name, script in PROGRAMS.items():
            self.put(programs / name, f"#!/bin/sh\n{script}\n".encode())
            (programs / name).chmod(0o755)
        for seed, name in enumerate(NAMES):
            self.put(b"night/" + name, photo(seed))
        self.put(b"night/" + BAD, b"\xff\xd8\xff")
        self.put(b"good.jpg", photo(9))
        self.programs = programs
        own = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(stand_in), "HOME": str(self.folder)}
        self.environment = {**os.environ, **own, "OMP_NUM_THREADS": "1"}

    def put(self, path: bytes | Path, data: bytes) -> None:
        (self.folder / os.fsdecode(path)).write_bytes(data)

    def start(self, script: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", script], cwd=self.folder, env=self.environment, **options
        )

    def __call__(self, script: str) -> tuple[int, str, str]:
        with self.start(script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out.decode(), err.decode()

    def read(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def files(self, name: str) -> dict[bytes, bytes]:
        """The files below a folder; hidden ones, such as what is half-written, among them."""
        root = self.folder / name
        return {os.fsencode(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def name_of(record: dict[str, Any]) -> bytes:
    """Return a record's path below `night`, as bytes."""
    path = base64.b64decode(record["path_b64"]) if "path_b64" in record else os.fsencode(record["path"])
    return path.removeprefix(b"./").removeprefix(b"night/")


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    ("script", "statuses"),
    [
        ("attnimg classify good.jpg | cat", "0 0"),
        ("attnimg classify night | cat", "1 0"),
        ("attnimg classify night --shard 17 | cat", "2 0"),
        ("find backup -type f | attnimg classify --from-file - | cat", "0 3 0"),
        ("attnimg classify good.jpg --dry-run --model nothing | cat", "4 0"),
        ("yes good.jpg | attnimg classify --from-file - | head -n 1", "141 141 0"),
        ("cat good.jpg | attnimg classify - | cat", "0 0 0"),
        ("cat night/broken.jpg | attnimg enhance - -o - | cat", "0 1 0"),
        (
            "yes good.jpg | attnimg classify --from-file - > r & until [ -s r ]; do sleep 0.1; done; kill $!; wait $!",
            "143",
        ),
    ],
)
def test_each_end_has_its_status(shell: Shell, script: str, statuses: str) -> None:
    assert shell(f'{script}\necho "${{PIPESTATUS[*]}}" >&2')[2].splitlines()[-1] == statuses


def test_records_come_while_the_list_is_still_made(shell: Shell) -> None:
    script = "attnimg classify --from-file - -0 --format jsonl | while read -r record; do echo $record; done"
    with shell.start(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        waits = []
        for name in NAMES:
            began = time.monotonic()
            child.stdin.write(b"night/" + name + b"\0")
            child.stdin.flush()
            assert name_of(json.loads(child.stdout.readline())) == name  # and the next name is not even sent
            waits.append(time.monotonic() - began)
        child.stdin.close()
    assert child.returncode == 0
    assert max(waits[1:]) < 10  # the first one waits for the program's start


def test_names_of_any_bytes_go_through(shell: Shell) -> None:
    status, out, _ = shell(
        "find night -type f -print0 | sort -z | attnimg enhance --from-file - -0 --root night -o out --format jsonl"
    )
    assert status == 1
    assert [name_of(record) for record in records(out)] == sorted([*NAMES, BAD])
    assert shell.files("out").keys() == set(NAMES)


def test_two_processes_of_xargs_share_stdout_line_by_line(shell: Shell) -> None:
    status, out, _ = shell("find night -type f -print0 | xargs -0 -P 2 -n 3 attnimg classify --quiet")
    assert status == 123  # what xargs makes of 1
    assert sorted(map(name_of, records(out))) == sorted([*NAMES, BAD])


def test_parallel_counts_the_jobs_that_failed(shell: Shell) -> None:
    require_tools("parallel")
    status, out, _ = shell("find night -type f -print0 | parallel -0 -j 2 -n 3 attnimg classify --quiet")
    assert status == 1
    assert sorted(map(name_of, records(out))) == sorted([*NAMES, BAD])


def test_shards_are_the_whole_and_do_not_overlap(shell: Shell) -> None:
    _, whole, _ = shell("attnimg enhance night -o whole --quiet")
    parts = [shell(f"attnimg enhance night -o parts --shard {k}/3 --quiet")[1] for k in (1, 2, 3)]
    assert shell.files("parts") == shell.files("whole")
    assert sorted(map(name_of, records("".join(parts)))) == sorted(map(name_of, records(whole)))


@pytest.mark.parametrize(("option", "most"), [("--fail-fast", 1), ("--max-failures 2", 2), ("--max-failures 3", 3)])
def test_a_run_stops_at_so_many_failures(shell: Shell, option: str, most: int) -> None:
    names = [os.fsdecode(name) for name in (NAMES[0], BAD, NAMES[2], b"missing.jpg", NAMES[4])]
    shell.put(b"list", b"\0".join(b"night/" + os.fsencode(name) for name in names))
    status, out, err = shell(f"attnimg enhance --from-file list -0 --root night -o out --errors errors.jsonl {option}")
    count = {1: 2, 2: 4, 3: 5}[most]
    found = records(out)
    assert status == 1
    assert [name_of(record) for record in found] == list(map(os.fsencode, names[:count]))
    assert ("Stopped" in err) == (most < 3)
    assert shell.read("errors.jsonl") == [record for record in found if "error" in record]
    # What was under way when the run stopped may be there without a record, but is whole.
    written = shell.files("out")
    assert {name_of(record) for record in found if "output" in record} <= written.keys() <= set(NAMES)
    for data in written.values():
        Image.open(io.BytesIO(data)).load()


def test_a_file_of_errors_is_never_replaced(shell: Shell) -> None:
    shell.put(b"errors.jsonl", b"mine")
    status, out, err = shell("attnimg classify night --errors errors.jsonl")
    assert (status, out) == (2, "")
    assert "errors.jsonl is there already" in err
    assert (shell.folder / "errors.jsonl").read_bytes() == b"mine"


def test_a_dry_run_names_the_part_and_writes_nothing(shell: Shell) -> None:
    before = shell.files(".")
    options = "--dry-run --fail-fast --errors errors.jsonl --report run.jsonl"
    outs = [shell(f"attnimg enhance night -o out --shard {k}/2 {options}") for k in (1, 2)]
    assert {status for status, _, _ in outs} == {0}
    planned = [line for _, out, _ in outs for line in out.splitlines()]
    assert len(planned) == len(set(planned)) == len(NAMES) + 1
    assert "night/new\\nline.jpg -> out/new\\nline.jpg" in planned
    assert shell.files(".") == before


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("x", "--fail-fast", "--max-failures", 2), "--max-failures 1"),
        (("x", "--max-failures", 0), "--max-failures"),
        (("x", "--timeout", 5), "--isolate"),
        (("x", "--resume"), "--report"),
        (("x", "--shard", "0/4"), "shard"),
        (("x", "--shard", "5/4"), "shard"),
        (("x", "--errors", "there"), "--errors"),
        (("x", "--report", "there"), "resume"),
        (("--watch", "--from-file", "there"), "folders"),
        (("--watch", "-"), "folders"),
        (("--watch", "there"), "folder"),
        (("--watch", "folder", "--dry-run"), "--watch"),
        (("--watch", "folder", "--overwrite"), "--watch"),
    ],
)
@pytest.mark.parametrize("command", [("classify",), ("enhance", "-o", "out")])
def test_contradictions_are_wrong_usage(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Any, args: Any, said: str
) -> None:
    pytest.importorskip("watchfiles")
    monkeypatch.chdir(tmp_path)
    Path("there").write_text("of somebody else\n")
    Path("folder").mkdir()
    status, out, err = run(*command, *(("-o", "out", "--overlay") if command == ("classify",) else ()), *args)
    assert (status, out) == (2, "")
    assert said in err
    assert not Path("out").exists()


def test_a_pipe_is_read_only_once(shell: Shell) -> None:
    """Its first bytes must not be lost to whoever wants to know its format."""
    status, out, _ = shell("attnimg enhance <(cat good.jpg) -o out")
    assert (status, records(out)[0]["error"]["kind"]) == (1, "unsupported")
    assert "--save-as" in records(out)[0]["error"]["message"]
    assert shell("attnimg enhance <(cat good.jpg) -o out --save-as png")[0] == 0
    (made,) = shell.files("out").values()
    assert Image.open(io.BytesIO(made)).format == "PNG"
    assert shell("attnimg enhance <(cat good.jpg) -o one.jpg && attnimg enhance good.jpg -o two.jpg")[0] == 0
    assert (shell.folder / "one.jpg").read_bytes() == (shell.folder / "two.jpg").read_bytes()
    assert shell("mkfifo cam.jpg; cat good.jpg > cam.jpg & attnimg enhance cam.jpg -o - | cmp - one.jpg")[0] == 0
    assert "Save it as a file" in shell("mkfifo cam.mp4; attnimg enhance cam.mp4 -o out")[1]


def test_what_the_shell_closed_is_no_bug_and_no_file_takes_its_place(shell: Shell) -> None:
    assert shell("attnimg enhance good.jpg -o out <&- >&- 2>&-") == (0, "", "")
    assert shell("attnimg enhance good.jpg -o expected")[0] == 0
    assert shell.files("out") == shell.files("expected")
    status, out, _ = shell("attnimg classify good.jpg 2>&-")
    assert (status, len(records(out))) == (0, 1)
    assert shell("attnimg classify --from-file - <&-")[0] == 3


def test_help_and_version_mind_their_reader(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with shell.start("exec attnimg classify --help", stdout=writer, stderr=subprocess.PIPE) as child:
        os.close(writer)
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert child.returncode == 141
    status, _, err = shell("attnimg --version > /dev/full")
    assert status == 1
    assert "cannot be written" in err


# --- The recipes

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


def is_installed(tool: str) -> bool:
    if tool != "parallel":
        return shutil.which(tool) is not None
    # moreutils has another one.
    return b"GNU parallel" in subprocess.run(["sh", "-c", "parallel --version"], capture_output=True).stdout


def require_tools(script: str) -> None:
    missing = [tool for tool in TOOLS if re.search(rf"\b{tool}\b", script) and not is_installed(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def test_every_recipe_is_checked() -> None:
    assert RECIPES.keys() == {*CHECKS, "A camera's folder"}


@pytest.mark.parametrize("name", CHECKS)
def test_recipes_do_what_they_say(shell: Shell, name: str) -> None:
    require_tools(RECIPES[name])
    prepare(shell, name)
    CHECKS[name](shell, *shell(RECIPES[name]))


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
