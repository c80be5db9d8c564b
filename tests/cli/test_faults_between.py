"""What changes between a run and `resume`: photos, copies, the model, the report.

`docs/reliability.md` names these tests.
"""

from __future__ import annotations

import os

from helpers.copy_processes import COUNT, Copier, is_copy, kinds
from helpers.copy_program import ENDING
from PIL import Image


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
    assert b"another sha256" in err
    assert b"Bring that model back" in err
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
