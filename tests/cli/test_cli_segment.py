"""`attnimg segment` as users see it: masks, what stands beside them, and records of both."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.by_color import COLORS, LABELS, ROAD, SIDES, TREE, blocks, scene
from helpers.fill import fill
from helpers.results import Run, files, records
from numpy.typing import NDArray
from PIL import Image

from attnimg.labels import VOID


def read(path: Path) -> NDArray[Any]:
    return np.asarray(Image.open(path))


def test_masks_are_palette_images_and_records_count_their_pixels(segment: Run, painted: Path, tmp_path: Path) -> None:
    status, out, err = segment(painted, "-o", tmp_path / "out")
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
        "path": f"{painted}/a.png",
        "output": f"{tmp_path}/out/a.png",
        "model": "lane",
        "width": 96,
        "height": 64,
        "classes": [{"id": i, "label": LABELS[i], "pixels": pixels[i], "fraction": pixels[i] / 6144} for i in order],
    }
    assert b["classes"] == [{"id": ROAD, "label": "road", "pixels": 3200, "fraction": 1.0}]


def test_csv_and_table(segment: Run, painted: Path, tmp_path: Path) -> None:
    (painted / "empty.jpg").write_bytes(b"")
    args = (painted, "-o", tmp_path / "out", "--overwrite", "--format")
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


@pytest.mark.slow
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


def test_only_some_classes(segment: Run, painted: Path, tmp_path: Path) -> None:
    _, out, _ = segment(painted / "a.png", "-o", tmp_path / "all")
    everything = read(tmp_path / "all" / "a.png")
    status, out, _ = segment(painted / "a.png", "-o", tmp_path / "out", "--only", "Tree, left/right", "--scores")
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

    _, out, _ = segment(painted / "sub", "-o", tmp_path / "none", "--only", "sky", "--preview")
    assert records(out)[0]["classes"] == []
    assert (read(tmp_path / "none" / "b.png") == VOID).all()


def test_small_regions_go_to_what_is_around_them(segment: Run, painted: Path, tmp_path: Path) -> None:
    _, out, _ = segment(painted / "a.png", "-o", tmp_path / "out", "--min-area", 200)
    mask = read(tmp_path / "out" / "a.png")
    assert {c["label"] for c in records(out)[0]["classes"]} == {"sky", "road", "tree"}
    assert (mask[16:24, 40:56] == TREE).all()


def test_preview_overlay_and_scores(segment: Run, painted: Path, tmp_path: Path) -> None:
    _, out, _ = segment(painted / "a.png", "-o", tmp_path / "out", "--preview", "--overlay", "--scores")
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


def test_a_cutout_is_soft_at_its_edges(segment: Run, painted: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    segment(painted / "a.png", "-o", output, "--cutout", "tree,left/right")
    cutout, mask = read(output / "a.cutout.png"), read(output / "a.png")
    assert cutout.shape == (64, 96, 4)
    assert np.array_equal(cutout[..., :3], COLORS[scene()])
    assert np.array_equal(cutout[..., 3] >= 128, np.isin(mask, (TREE, SIDES)))
    assert (cutout[20, 44:52, 3] == 255).all()
    assert not cutout[:, :12, 3].any()
    assert len(np.unique(cutout[..., 3])) > 2


@pytest.mark.parametrize(("background", "corner"), [("#ff8000", (255, 128, 0)), ("white", (255,) * 3), ("blur", None)])
def test_backgrounds(segment: Run, painted: Path, tmp_path: Path, background: str, corner: Any) -> None:
    output = tmp_path / "out"
    segment(painted / "a.png", "-o", output, "--cutout", "tree", "--background", background)
    laid = read(output / "a.cutout.png")
    assert laid.shape == (64, 96, 3)
    assert laid[12, 48].tolist() == [0, 255, 0]
    assert laid[0, 0].tolist() == list(corner or (0, 0, 255))
    if background == "blur":
        sky, road = laid[24, 4].astype(int), laid[38, 4].astype(int)
        assert 0 < sky[0] < road[0] < 255


def test_polygons_are_the_mask(segment: Run, painted: Path, tmp_path: Path) -> None:
    _, out, _ = segment(painted / "a.png", "-o", tmp_path / "out", "--polygons")
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


def test_python_has_the_same_segmenter(lane: Path) -> None:
    import attnimg

    segment = attnimg.load("segment", model=str(lane), device="cpu")
    assert [c.label for c in segment.classes] == LABELS
    assert (segment(COLORS[scene()]) == scene()).mean() > 0.99
