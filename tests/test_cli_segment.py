"""`attnimg segment` as users and shells see it: every option, what is written, what is printed, how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from test_masks import fill
from test_segment_task import CLASSES, COLORS, HEADER, ByColor, ByColorConfig, blocks

from attnimg import checkpoints
from attnimg.cli import segment_batch
from attnimg.images import write
from attnimg.images.masks import VOID
from attnimg.images.place import Target
from attnimg.nets import build
from attnimg.pipeline.journal import JournalFailed
from attnimg.pipeline.journal_file import FileJournal
from attnimg.results import Segmented

LABELS = [str(c["label"]) for c in CLASSES]
SKY, ROAD, TREE, SIDES = range(4)


@pytest.fixture(autouse=True)
def _by_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build.NETS, "segmenter", (ByColorConfig, ByColor))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that tells classes by their colours."""
    path = tmp_path_factory.mktemp("weights") / "lane.safetensors"
    checkpoints.write(path, HEADER, ByColor(ByColorConfig()).state_dict())
    return path


@pytest.fixture
def segment(run: Run, street: Path) -> Run:
    return lambda *args: run("segment", *args, "--model", street, "--device", "cpu")


def scene() -> NDArray[np.uint8]:
    """Return a mask of 64 x 96: sky above road, a tree, something in the tree."""
    mask = np.full((64, 96), SKY, np.uint8)
    mask[32:] = ROAD
    mask[8:40, 24:72] = TREE
    mask[16:24, 40:56] = SIDES
    return mask


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of two photos whose masks are known."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(COLORS[scene()]).save(folder / "a.png")
    Image.fromarray(COLORS[np.full((40, 80), ROAD)]).save(folder / "sub" / "b.jpg", quality=95)
    return folder


def read(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def records(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_masks_are_palette_images_and_records_count_their_pixels(segment: Run, photos: Path, tmp_path: Path) -> None:
    status, out, err = segment(photos, "-o", tmp_path / "out")
    assert (status, err.splitlines()[-1]) == (0, "2 done, 0 skipped, 0 failed, 0 passed over")
    assert files(tmp_path / "out") == ["a.png", "sub/b.png"]
    image = Image.open(tmp_path / "out" / "a.png")
    assert (image.mode, image.size, len(image.getpalette() or [])) == ("P", (96, 64), 768)
    mask = np.asarray(image)
    assert (mask == scene()).mean() > 0.99  # where three classes meet, the one between them may be a fourth
    a, b = records(out)
    pixels = {i: int((mask == i).sum()) for i in range(4)}
    order = sorted(range(4), key=lambda i: -pixels[i])
    assert a == {
        "path": f"{photos}/a.png",
        "output": f"{tmp_path}/out/a.png",
        "model": "lane",
        "width": 96,
        "height": 64,
        "classes": [{"id": i, "label": LABELS[i], "pixels": pixels[i], "fraction": pixels[i] / 6144} for i in order],
    }
    assert b["classes"] == [{"id": ROAD, "label": "road", "pixels": 3200, "fraction": 1.0}]


def test_csv_and_table(segment: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    args = (photos, "-o", tmp_path / "out", "--overwrite", "--format")
    rows = list(csv.DictReader(io.StringIO(segment(*args, "csv")[1])))
    assert list(rows[0]) == ["path", "output", "model", "id", "label", "pixels", "fraction", "kind", "message"]
    assert [row["label"] for row in rows] == ["road", "sky", "tree", "left/right", "", "road"]
    assert sum(float(row["fraction"]) for row in rows[:4]) == pytest.approx(1)
    assert rows[4]["kind"] == "damaged"
    lines = segment(*args, "table")[1].splitlines()
    assert lines[0].split() == ["path", "label", "pixels", "fraction"]
    assert lines[-1].split()[-3:] == ["road", "3200", "1.000"]


def test_masks_are_upright_and_transparency_is_white(segment: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLORS[scene()]).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    clear = Image.fromarray(COLORS[np.full((32, 64), TREE)]).convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 32, 32))
    clear.save(tmp_path / "b.png")
    segment(tmp_path / "a.jpg", tmp_path / "b.png", "-o", tmp_path / "out")
    assert (read(tmp_path / "out" / "a.png") == np.rot90(scene(), -1)).mean() > 0.97
    assert read(tmp_path / "out" / "b.png")[16].tolist() == [ROAD] * 32 + [TREE] * 32


@pytest.mark.parametrize("options", [(), ("--resize", "none"), ("--resize", 128), ("--tta",)], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (9, 900), (900, 9), (333, 210)], ids=str)
def test_every_size_and_way_to_see(segment: Run, tmp_path: Path, size: tuple[int, int], options: Any) -> None:
    Image.new("RGB", size, (0, 0, 255)).save(tmp_path / "a.png")
    extras = ("--overlay", "--preview", "--cutout", "sky", "--background", "blur", "--polygons", "--scores")
    assert segment(tmp_path / "a.png", "-o", tmp_path / "out", *options, *extras, "--min-area", 5)[0] == 0
    assert len(files(tmp_path / "out")) == 9
    for name in ("a.png", "a.overlay.png", "a.cutout.png", "a.sky.scores.png"):
        assert Image.open(tmp_path / "out" / name).size == size
    assert not read(tmp_path / "out" / "a.png").any()


def test_drawing_changes_no_mask(segment: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (640, 960, 3))
    photo = np.clip(COLORS[blocks(640, 960, side=80)].astype(int) + noise - 30, 0, 255).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=90)  # read at an eighth where nothing is drawn
    segment(tmp_path / "a.jpg", "-o", tmp_path / "plain")
    segment(tmp_path / "a.jpg", "-o", tmp_path / "drawn", "--preview", "--overlay")
    assert (tmp_path / "plain" / "a.png").read_bytes() == (tmp_path / "drawn" / "a.png").read_bytes()
    assert Image.open(tmp_path / "drawn" / "a.overlay.png").size == (960, 640)


def test_only_some_classes(segment: Run, photos: Path, tmp_path: Path) -> None:
    _, out, _ = segment(photos / "a.png", "-o", tmp_path / "all")
    everything = read(tmp_path / "all" / "a.png")
    status, out, _ = segment(photos / "a.png", "-o", tmp_path / "out", "--only", "Tree, left/right", "--scores")
    mask = read(tmp_path / "out" / "a.png")
    assert status == 0
    assert np.array_equal(mask, np.where(np.isin(everything, (TREE, SIDES)), everything, VOID))
    (record,) = records(out)
    assert [c["id"] for c in record["classes"]] == [TREE, SIDES]
    assert record["classes"][0]["fraction"] == (mask == TREE).mean()
    assert files(tmp_path / "out") == ["a.left%2Fright.scores.png", "a.png", "a.tree.scores.png"]
    assert sorted(record["scores"]) == [
        f"{tmp_path}/out/{name}" for name in files(tmp_path / "out") if "scores" in name
    ]

    _, out, _ = segment(photos / "sub", "-o", tmp_path / "none", "--only", "sky", "--preview")
    assert records(out)[0]["classes"] == []
    assert (read(tmp_path / "none" / "b.png") == VOID).all()


def test_small_regions_go_to_what_is_around_them(segment: Run, photos: Path, tmp_path: Path) -> None:
    _, out, _ = segment(photos / "a.png", "-o", tmp_path / "out", "--min-area", 200)
    mask = read(tmp_path / "out" / "a.png")
    assert {c["label"] for c in records(out)[0]["classes"]} == {"sky", "road", "tree"}
    assert (mask[16:24, 40:56] == TREE).all()


def test_preview_overlay_and_scores(segment: Run, photos: Path, tmp_path: Path) -> None:
    _, out, _ = segment(photos / "a.png", "-o", tmp_path / "out", "--preview", "--overlay", "--scores")
    output = tmp_path / "out"
    (record,) = records(out)
    assert record["preview"] == f"{output}/a.preview.jpg"
    assert record["overlay"] == f"{output}/a.overlay.png"
    preview = Image.open(output / "a.preview.jpg")
    assert preview.width > 96, "the legend"
    assert preview.format == "JPEG"
    maps = np.stack([read(output / f"a.{name}.scores.png") for name in ("sky", "road", "tree", "left%2Fright")])
    assert maps.dtype == np.uint16
    assert np.abs(maps.sum(0, dtype=np.int64) - 65535).max() <= 2
    assert np.array_equal(maps.argmax(0), read(output / "a.png"))


def test_a_cutout_is_soft_at_its_edges(segment: Run, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    segment(photos / "a.png", "-o", output, "--cutout", "tree,left/right")
    cutout, mask = read(output / "a.cutout.png"), read(output / "a.png")
    assert cutout.shape == (64, 96, 4)
    assert np.array_equal(cutout[..., :3], COLORS[scene()])
    assert np.array_equal(cutout[..., 3] >= 128, np.isin(mask, (TREE, SIDES)))
    assert (cutout[20, 44:52, 3] == 255).all()
    assert not cutout[:, :12, 3].any()
    assert len(np.unique(cutout[..., 3])) > 2


@pytest.mark.parametrize(("background", "corner"), [("#ff8000", (255, 128, 0)), ("white", (255,) * 3), ("blur", None)])
def test_backgrounds(segment: Run, photos: Path, tmp_path: Path, background: str, corner: Any) -> None:
    output = tmp_path / "out"
    segment(photos / "a.png", "-o", output, "--cutout", "tree", "--background", background)
    laid = read(output / "a.cutout.png")
    assert laid.shape == (64, 96, 3)
    assert laid[12, 48].tolist() == [0, 255, 0]
    assert laid[0, 0].tolist() == list(corner or (0, 0, 255))
    if background == "blur":
        sky, road = laid[24, 4].astype(int), laid[38, 4].astype(int)
        assert 0 < sky[0] < road[0] < 255


def test_polygons_are_the_mask(segment: Run, photos: Path, tmp_path: Path) -> None:
    _, out, _ = segment(photos / "a.png", "-o", tmp_path / "out", "--polygons")
    collection = json.loads((tmp_path / "out" / "a.polygons.geojson").read_text())
    mask = read(tmp_path / "out" / "a.png")
    assert collection["type"] == "FeatureCollection"
    assert [f["properties"] for f in collection["features"]] == records(out)[0]["classes"]
    for feature in collection["features"]:
        assert feature["geometry"]["type"] == "MultiPolygon"
        found = fill(feature["geometry"]["coordinates"], mask.shape)
        assert np.array_equal(found, mask == feature["properties"]["id"])
    tree = next(f for f in collection["features"] if f["properties"]["label"] == "tree")
    assert max(len(polygon) for polygon in tree["geometry"]["coordinates"]) >= 2, "something is in it"


def test_coco_and_summary_of_the_batch(
    segment: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    coco_file, summary = tmp_path / "new" / "all.json", tmp_path / "all.csv"
    args = (photos, "-o", tmp_path / "out", "--coco", coco_file, "--summary", summary)
    status, out, _ = segment(*args)
    assert status == 1
    done = [record for record in records(out) if "classes" in record]
    coco = COCO(coco_file)
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == LABELS
    assert [coco.imgs[i]["file_name"] for i in coco.getImgIds()] == [record["path"] for record in done]
    for number, record in zip(coco.getImgIds(), done, strict=True):
        mask = read(Path(record["output"]))
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
    assert "all.json is there already" in err
    assert segment(*args, "--overwrite")[0] == 1
    assert len(COCO(coco_file).anns) == 5


def test_a_coco_file_that_cannot_be_written_leaves_none(
    segment: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = write._move

    def fill_the_disk(temporary: Path, target: Target) -> None:
        if target.path.suffix == ".json":
            raise OSError(28, "No space left on device")
        move(temporary, target)

    monkeypatch.setattr(write, "_move", fill_the_disk)
    args = ("--coco", tmp_path / "all.json", "--summary", tmp_path / "all.csv")
    status, out, err = segment(photos / "a.png", "-o", tmp_path / "out", *args)
    assert (status, len(records(out))) == (1, 1)
    assert "No space left on device" in err
    assert files(tmp_path) == ["all.csv", "out/a.png", "photos/a.png", "photos/sub/b.jpg"]


def read_coco(path: Path) -> list[str]:
    return [image["file_name"] for image in json.loads(path.read_text())["images"]]


@pytest.mark.parametrize(
    "change", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: Image.new("L", (8, 8)).save(path)]
)
def test_a_mask_that_goes_after_it_was_recalled_is_that_photos_failure(
    run: Run, segment: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], Any]
) -> None:
    mask, coco, report = tmp_path / "out" / "a.png", tmp_path / "all.json", tmp_path / "run.jsonl"
    args = (photos, "-o", tmp_path / "out", "--coco", coco, "--summary", tmp_path / "all.csv", "--report", report)
    assert segment(*args)[0] == 0
    wanted = {path: path.read_bytes() for path in (mask, coco, tmp_path / "all.csv")}

    annotate = segment_batch._annotate_again

    def annotate_late(record: Segmented) -> list[dict[str, Any]]:
        if record.output == str(mask):
            change(mask)
        return annotate(record)

    with monkeypatch.context() as patch:
        patch.setattr(segment_batch, "_annotate_again", annotate_late)
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
    segment: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(segment_batch, "_annotate_again")
    coco = tmp_path / "all.json"
    assert segment(photos / "sub", "-o", tmp_path / "out", "--only", "sky", "--coco", coco)[0] == 0
    assert read_coco(coco) == [f"{photos}/sub/b.jpg"]


@pytest.mark.parametrize("killed", [True, False])
def test_a_resumed_run_replaces_its_own_coco_file_and_no_other(
    run: Run, segment: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    coco, report = tmp_path / "all.json", tmp_path / "run.jsonl"
    end = segment_batch.BatchFiles.write

    def end_too_late(batch: segment_batch.BatchFiles) -> Iterator[str]:
        coco.write_bytes(b"somebody else's")
        return iter(()) if killed else end(batch)

    with monkeypatch.context() as patch:
        patch.setattr(segment_batch.BatchFiles, "write", end_too_late)
        segment(photos, "-o", tmp_path / "out", "--coco", coco, "--report", report)
    status, out, err = run("resume", report)
    assert (status, out) == (2, "")
    assert "all.json is there already" in err
    assert coco.read_bytes() == b"somebody else's"

    coco.unlink()
    for _ in range(2):
        assert run("resume", report)[0] == 0
        assert read_coco(coco) == [f"{photos}/a.png", f"{photos}/sub/b.jpg"]


def test_a_coco_file_that_cannot_be_noted_is_not_written(
    segment: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def announce(*args: object) -> None:
        raise JournalFailed("run.jsonl cannot be written: No space left on device.")

    monkeypatch.setattr(FileJournal, "announce", announce)
    args = (photos, "-o", tmp_path / "out", "--coco", tmp_path / "all.json", "--report", tmp_path / "run.jsonl")
    status, out, err = segment(*args)
    assert (status, len(records(out))) == (1, 2)
    assert "No space left on device. Make room, and go on by `attnimg resume`." in err
    assert not (tmp_path / "all.json").exists()


def test_the_files_of_all_photos_differ(segment: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "all.csv").symlink_to("all.json")
    args = (photos, "-o", tmp_path / "out", "--coco", tmp_path / "all.json", "--summary", tmp_path / "all.csv")
    status, _, err = segment(*args, "--overwrite")
    assert status == 2
    assert "--coco and --summary are two files" in err
    assert not (tmp_path / "out").exists()


def test_a_single_photo_into_a_file(segment: Run, photos: Path, tmp_path: Path) -> None:
    status, out, _ = segment(photos / "a.png", "-o", tmp_path / "new" / "mask.PNG", "--preview")
    assert (status, records(out)[0]["output"]) == (0, f"{tmp_path}/new/mask.PNG")
    assert files(tmp_path / "new") == ["mask.PNG", "mask.preview.jpg"]


def test_a_single_photo_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], photos: Path, street: Path
) -> None:
    from attnimg.cli.main import main

    for name, status in (("a.png", 0), ("gone.png", 1)):
        argv = ["attnimg", "segment", str(photos / name), "-o", "-", "--only", "tree", "--model", str(street)]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsysbinary.readouterr()
        assert int(end.value.code or 0) == status
        if status:
            assert (out, b"no such file" in err) == (b"", True)
        else:
            assert set(np.unique(np.asarray(Image.open(io.BytesIO(out))))) == {TREE, VOID}


def test_outputs_of_earlier_runs(segment: Run, photos: Path, tmp_path: Path) -> None:
    args = (photos, "-o", tmp_path / "out", "--preview")
    assert segment(*args)[0] == 0
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "a.png")
    mine = (tmp_path / "out" / "a.png").read_bytes()
    assert [r["error"]["kind"] for r in records(segment(*args)[1])] == ["exists"] * 2
    status, out, _ = segment(*args, "--skip-existing")
    assert (status, [r["skipped"] for r in records(out)]) == (0, [True, True])
    assert (tmp_path / "out" / "a.png").read_bytes() == mine
    assert segment(*args, "--overwrite")[0] == 0
    assert Image.open(tmp_path / "out" / "a.png").mode == "P"


def test_no_input_is_ever_overwritten(segment: Run, photos: Path) -> None:
    before = (photos / "a.png").read_bytes()
    for output in (photos, photos / "a.png"):
        status, out, _ = segment(photos / "a.png", "-o", output, "--overwrite")
        assert (status, records(out)[0]["error"]["kind"]) == (1, "exists")
    os.link(photos / "a.png", photos / "table.csv")
    status, _, err = segment(
        photos / "table.csv", "-o", photos / "out", "--summary", photos / "table.csv", "--overwrite"
    )
    assert status == 2
    assert "inputs are never overwritten" in err
    assert (photos / "a.png").read_bytes() == before


def test_a_dry_run_names_every_file_and_writes_none(segment: Run, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    extras = ("--overlay", "--preview", "--cutout", "sky", "--polygons", "--only", "sky", "--scores")
    status, out, _ = segment(photos / "a.png", "-o", output, "--dry-run", *extras, "--summary", tmp_path / "all.csv")
    endings = (".png", ".overlay.png", ".preview.jpg", ".cutout.png", ".polygons.geojson", ".sky.scores.png")
    plan = [*(f"{photos}/a.png -> {output}/a{ending}" for ending in endings), f"all -> {tmp_path}/all.csv"]
    assert (status, out.splitlines()) == (0, plan)
    assert segment(photos / "a.png", "-o", "-", "--dry-run")[1] == f"{photos}/a.png -> -\n"
    assert not output.exists()


def test_a_dry_run_goes_by_the_mask(segment: Run, photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    args = (photos, "-o", output, "--preview", "--skip-existing")
    assert segment(*args)[0] == 0
    (output / "a.preview.jpg").unlink()
    (output / "sub" / "b.png").unlink()
    _, out, err = segment(*args, "--dry-run")
    assert out.splitlines() == [
        f"{photos}/a.png -> {output}/a.png (is there, skipped)",
        f"{photos}/sub/b.jpg -> {output}/sub/b.png",
        f"{photos}/sub/b.jpg -> {output}/sub/b.preview.jpg (is there, skipped)",
    ]
    said = "1 done, 1 skipped, 0 failed"
    assert said in err
    assert said in segment(*args)[2]
    assert files(output) == ["a.png", "sub/b.png", "sub/b.preview.jpg"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("x.jpg",), "-o DIR"),
        (("x.jpg", "-o", "out", "--only", "unicorn"), "It has sky, road, tree, left/right."),
        (("x.jpg", "-o", "out", "--cutout", "sky,unicorn"), "no class 'unicorn'"),
        (("x.jpg", "-o", "out", "--only", "sky", "--cutout", "tree"), "Name it in both"),
        (("x.jpg", "-o", "out", "--background", "blur"), "with --cutout"),
        (("x.jpg", "-o", "out", "--cutout", "sky", "--background", "vanta"), "is no colour"),
        (("x.jpg", "-o", "out", "--resize", "8"), "at least 32"),
        (("x.jpg", "-o", "out", "--resize", "large"), "at least 32"),
        (("x.jpg", "-o", "out", "--min-area", "0"), "--min-area"),
        (("x.jpg", "-o", "out", "--coco", "all.txt"), "ends in .json"),
        (("x.jpg", "-o", "out", "--summary", "all.json"), "ends in .csv"),
        (("x.jpg", "-o", "out", "--report", "r.json", "--coco", "r.json"), "--report and --coco are two files"),
        (("x.jpg", "-o", "out", "--errors", "r.csv", "--summary", "./r.csv"), "--errors and --summary are two"),
        (("x.jpg", "-o", "y.jpg"), "Name a .png"),
        (("x.jpg", "-o", "-", "--preview"), "name a folder"),
        (("x.jpg", "-o", "-", "--coco", "all.json"), "name a folder"),
        (("x.jpg", "z.jpg", "-o", "y.png"), "takes one photo, and 2 were found"),
        (("x.jpg", "-o", __file__), "is no folder"),
    ],
)
def test_wrong_usage_is_2_and_names_the_way(segment: Run, args: tuple[str, ...], said: str) -> None:
    status, out, err = segment(*args)
    assert (status, out) == (2, "")
    assert said in " ".join(err.split())


def test_models_for_another_task_are_4(run: Run, photos: Path, night: Path, tmp_path: Path) -> None:
    for model in ("no-such-model", night):
        status, out, _ = run("segment", photos, "-o", tmp_path / "out", "--model", model)
        assert (status, out) == (4, "")
    assert not (tmp_path / "out").exists()


def test_python_has_the_same_segmenter(street: Path) -> None:
    import attnimg

    segment = attnimg.load("segment", model=str(street), device="cpu")
    assert [c.label for c in segment.classes] == LABELS
    assert (segment(COLORS[scene()]) == scene()).mean() > 0.99
