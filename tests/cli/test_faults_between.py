"""What changes between a run and `resume`: photos, copies, the model, the report.

`docs/reliability.md` names these tests.
"""

from __future__ import annotations

import os

import pytest
from helpers.copy_processes import COUNT, Copier, is_copy, kinds, stdout
from helpers.copy_task import ENDING
from helpers.results import records
from PIL import Image

pytestmark = pytest.mark.slow


def test_what_changes_between_is_done_anew_and_nothing_else(copying: Copier) -> None:
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


def test_a_model_that_changes_between_is_told_of_and_the_former_one_goes_on(copying: Copier) -> None:
    copying.copy("--report", "r.jsonl", "--fail-fast").communicate(timeout=60)
    copying.model.write_bytes(b"other weights")
    child = copying.start("resume", "r.jsonl")
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (2, b"")
    assert b"another run. Its sha256" in err
    assert b"Restore that model file" in err
    copying.model.write_bytes(b"weights")
    copying.check_all_done(copying.resume())


def test_a_report_that_is_damaged_or_moved_is_told_of_and_nothing_is_touched(copying: Copier) -> None:
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


def test_the_same_options_in_other_words_continue_a_run_and_other_options_do_not(copying: Copier) -> None:
    child = copying.copy("--report", "r.jsonl", "--slow", "0.05")
    stdout(child).readline()
    child.kill()
    child.communicate()
    words = ["--resume", "--batch-size=4", "--report", "r.jsonl", "--output=out", "--workers=2", "--model"]
    command = ["copy", "photos", *words, "model.safetensors", "--slow=0.050"]
    other = copying.start(*command[:-1])
    out, err = other.communicate(timeout=60)
    assert (other.returncode, out) == (2, b"")
    assert b"another run. Its arguments" in err
    same = copying.start(*command)
    out, err = same.communicate(timeout=60)
    assert same.returncode == 0, err
    copying.check_all_done(records(out))
    copying.check_all_done(copying.resume())
    begun = [line for line in copying.report() if line["event"] in ("run", "resumed")]
    assert [line["event"] for line in begun] == ["run", "resumed", "resumed"]
    options = {"--output=out", "--workers=2", "--batch-size=4", "--report=r.jsonl", "--model=model.safetensors"}
    for line in begun:
        command, *words, dashes, photos = line["arguments"]
        assert (command, set(words), dashes, photos) == ("copy", {*options, "--slow=0.05"}, "--", "photos")


def test_names_that_look_like_options_are_resumed_as_names(copying: Copier) -> None:
    names = ["--resume.png", "-o.png", "--.png"]
    for name in names:
        Image.new("RGB", (9, 9), "red").save(copying.folder / name)
    child = copying.copy("--report", "r.jsonl", "--", *names, inputs="")
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert [record["path"] for record in records(out)] == names
    assert copying.resume() == records(out)
