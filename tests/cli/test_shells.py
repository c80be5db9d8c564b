"""Manners in real shells: pipes, exit statuses, odd names, stopping early."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import pytest
from helpers.results import records
from helpers.shells import BAD, NAMES, Shell, name_of, needs_bash, require_tools
from PIL import Image

pytestmark = [needs_bash, pytest.mark.slow]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


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


@pytest.mark.timeout(60)
def test_records_come_while_the_list_is_still_made(shell: Shell) -> None:
    script = "attnimg classify --from-file - -0 --format jsonl | while read -r record; do echo $record; done"
    with shell.start(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for name in NAMES:
            child.stdin.write(b"night/" + name + b"\0")
            child.stdin.flush()
            assert name_of(json.loads(child.stdout.readline())) == name  # and the next name is not even sent
        child.stdin.close()
    assert child.returncode == 0


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
    assert "errors.jsonl exists" in err
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
    assert shell("attnimg enhance good.jpg -o out <&- > /dev/null 2>&-") == (0, "", "")
    assert shell("attnimg enhance good.jpg -o expected")[0] == 0
    assert shell.files("out") == shell.files("expected")
    status, out, _ = shell("attnimg classify good.jpg 2>&-")
    assert (status, len(records(out))) == (0, 1)
    assert shell("attnimg classify --from-file - <&-")[0] == 3


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_results_are_not_lost_where_stdout_is_closed(shell: Shell, closed: str) -> None:
    status, _, err = shell(f"attnimg enhance good.jpg -o out {closed}")
    assert (status, "stdout is closed" in err) == (2, closed == ">&-")
    assert not (shell.folder / "out").exists()


def test_help_and_version_mind_their_reader(shell: Shell) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with shell.start("exec attnimg classify --help", stdout=writer, stderr=subprocess.PIPE) as child:
        os.close(writer)
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert child.returncode == 141
    for command in ("attnimg --version", "attnimg --help", "PYTHONUNBUFFERED=1 attnimg classify --help"):
        status, _, err = shell(f"{command} > /dev/full")
        assert (status, len(err.splitlines())) == (1, 1)
        assert "No space left on device. Make room" in err


def test_what_a_shell_s_pattern_names_beside_the_photos_is_no_input_where_outputs_go(shell: Shell) -> None:
    script = "cd night && mkdir -p out && rm -f broken.jpg && attnimg enhance * -o out --skip-existing"
    status, _, err = shell(script)
    count = "6 done, 0 skipped, 0 failed, 1 passed over"
    assert (status, err.splitlines()) == (0, ["Passed over, as outputs go there: out. Named alone, it is read.", count])
    made = shell.files("night/out")
    assert made.keys() == {name.removeprefix(b"sub/") for name in NAMES}
    status, _, err = shell(script)
    assert (status, err.splitlines()[-1]) == (0, "0 done, 6 skipped, 0 failed, 1 passed over")
    assert shell.files("night/out") == made
    status, _, err = shell("cd night && attnimg enhance out -o out --suffix -2 --dry-run")
    assert (status, err) == (0, "A dry run: 6 done, 0 skipped, 0 failed, 0 passed over.\n")
