"""What `attnimg segment` writes of all photos together: it is right, whole or not there, and resumed runs end it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.by_color import LABELS, ROAD
from helpers.results import Run, files, records
from PIL import Image
from pycocotools.coco import COCO

from attnimg.files import write
from attnimg.files.outputs import Output
from attnimg.jobs.segment import dataset_files
from attnimg.jobs.segment.dataset_files import DatasetFiles
from attnimg.pipeline.journal.file import FileJournal
from attnimg.pipeline.journal.journal import JournalFailed
from attnimg.records import Segmented


def test_coco_and_summary_of_the_batch(
    segment: Run, painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (painted / "empty.jpg").write_bytes(b"")
    coco_file, summary = tmp_path / "new" / "all.json", tmp_path / "all.csv"
    args = (painted, "-o", tmp_path / "out", "--coco", coco_file, "--summary", summary)
    status, out, _ = segment(*args)
    assert status == 1
    done = [record for record in records(out) if "classes" in record]
    coco = COCO(coco_file)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == LABELS
    assert [coco.imgs[i]["file_name"] for i in coco.getImgIds()] == [record["path"] for record in done]
    for number, record in zip(coco.getImgIds(), done, strict=True):
        mask = np.asarray(Image.open(record["output"]))
        assert (coco.imgs[number]["height"], coco.imgs[number]["width"]) == mask.shape
        annotations = coco.loadAnns(coco.getAnnIds(number))
        assert [a["category_id"] for a in annotations] == [c["id"] for c in record["classes"]]
        for annotation in annotations:
            inside = coco.annToMask(annotation) > 0
            assert np.array_equal(inside, mask == annotation["category_id"])
            assert annotation["area"] == inside.sum()
            left, top, width, height = annotation["bbox"]
            assert inside[top : top + height, left : left + width].sum() == inside.sum()
            assert inside[top].any()
            assert inside[:, left + width - 1].any()

    rows = list(csv.DictReader(summary.open()))
    assert list(rows[0]) == ["id", "label", "pixels", "fraction", "photos"]
    road = sum(c["pixels"] for record in done for c in record["classes"] if c["id"] == ROAD)
    assert rows[0] == {
        "id": "1", "label": "road", "pixels": str(road), "fraction": str(road / (6144 + 3200)), "photos": "2"
    }  # fmt: skip
    assert sum(float(row["fraction"]) for row in rows) == pytest.approx(1)
    assert sum(int(row["photos"]) for row in rows) == 5

    capsys.readouterr()  # pycocotools prints
    status, out, err = segment(*args, "--skip-existing")
    assert (status, out) == (2, "")
    assert "all.json exists" in err
    assert segment(*args, "--overwrite")[0] == 1
    assert len(COCO(coco_file).anns) == 5


def test_a_coco_file_that_cannot_be_written_leaves_none(
    segment: Run, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = write._move

    def fill_the_disk(temporary: Path, target: Output) -> None:
        if target.path.suffix == ".json":
            raise OSError(28, "No space left on device")
        move(temporary, target)

    monkeypatch.setattr(write, "_move", fill_the_disk)
    args = ("--coco", tmp_path / "all.json", "--summary", tmp_path / "all.csv")
    status, out, err = segment(painted / "a.png", "-o", tmp_path / "out", *args)
    assert (status, len(records(out))) == (1, 1)
    assert "No space left on device" in err
    assert err.splitlines()[-1] == "1 done, 0 skipped, 0 failed, 0 passed over"
    assert files(tmp_path) == ["all.csv", "out/a.png", "photos/a.png", "photos/sub/b.jpg"]


def read_coco(path: Path) -> list[str]:
    return [image["file_name"] for image in json.loads(path.read_text())["images"]]


@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: Image.new("L", (8, 8)).save(path)]
)
def test_a_mask_that_goes_after_it_was_recalled_is_that_photos_failure(
    run: Run,
    segment: Run,
    painted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], Any],
) -> None:
    mask, coco, report = tmp_path / "out" / "a.png", tmp_path / "all.json", tmp_path / "run.jsonl"
    args = (painted, "-o", tmp_path / "out", "--coco", coco, "--summary", tmp_path / "all.csv", "--report", report)
    assert segment(*args)[0] == 0
    wanted = {path: path.read_bytes() for path in (mask, coco, tmp_path / "all.csv")}

    annotate = dataset_files._annotate_again

    def annotate_late(record: Segmented) -> list[dict[str, Any]]:
        if record.output == str(mask):
            change(mask)
        return annotate(record)

    with monkeypatch.context() as patch:
        patch.setattr(dataset_files, "_annotate_again", annotate_late)
        status, out, err = run("resume", report)
    a, b = records(out)
    assert (status, a["error"]["kind"], "classes" in b) == (1, "write-failed", True)
    assert str(mask) in a["error"]["message"]
    assert err.splitlines()[-1] == "1 done, 0 skipped, 1 failed, 0 passed over"
    assert read_coco(coco) == [b["path"]]
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert sum(int(row["pixels"]) for row in rows) == 40 * 80

    assert run("resume", report)[0] == 0
    assert {path: path.read_bytes() for path in wanted} == wanted


def test_a_mask_without_classes_is_not_read_again(
    segment: Run, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(dataset_files, "_annotate_again")
    coco = tmp_path / "all.json"
    assert segment(painted / "sub", "-o", tmp_path / "out", "--only", "sky", "--coco", coco)[0] == 0
    assert read_coco(coco) == [f"{painted}/sub/b.jpg"]


@pytest.mark.parametrize("killed", [True, False])
def test_a_resumed_run_replaces_its_own_coco_file_and_no_other(
    run: Run, segment: Run, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    coco, report = tmp_path / "all.json", tmp_path / "run.jsonl"
    finish = DatasetFiles.finish

    def finish_too_late(dataset: DatasetFiles) -> Iterator[str]:
        coco.write_bytes(b"somebody else's")
        return iter(()) if killed else finish(dataset)

    with monkeypatch.context() as patch:
        patch.setattr(DatasetFiles, "finish", finish_too_late)
        segment(painted, "-o", tmp_path / "out", "--coco", coco, "--report", report)
    status, out, err = run("resume", report)
    assert (status, out) == (2, "")
    assert "all.json exists" in err
    assert coco.read_bytes() == b"somebody else's"

    coco.unlink()
    for _ in range(2):
        assert run("resume", report)[0] == 0
        assert read_coco(coco) == [f"{painted}/a.png", f"{painted}/sub/b.jpg"]


def test_a_coco_file_that_cannot_be_noted_is_not_written(
    segment: Run, painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def announce(*args: object) -> None:
        raise JournalFailed("run.jsonl cannot be written: No space left on device.")

    monkeypatch.setattr(FileJournal, "announce", announce)
    args = (painted, "-o", tmp_path / "out", "--coco", tmp_path / "all.json", "--report", tmp_path / "run.jsonl")
    status, out, err = segment(*args)
    assert (status, len(records(out))) == (1, 2)
    assert "No space left on device. Make room, and continue with `attnimg resume`." in err
    assert not (tmp_path / "all.json").exists()


def test_the_files_of_all_photos_differ(segment: Run, painted: Path, tmp_path: Path) -> None:
    (tmp_path / "all.csv").symlink_to("all.json")
    args = (painted, "-o", tmp_path / "out", "--coco", tmp_path / "all.json", "--summary", tmp_path / "all.csv")
    status, _, err = segment(*args, "--overwrite")
    assert status == 2
    assert "--coco and --summary name the same file" in err
    assert not (tmp_path / "out").exists()
