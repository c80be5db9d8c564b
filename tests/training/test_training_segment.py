"""Training segmenters: the run learns, starts from other models, and names what is wrong with its data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_data import COLORS, TABLE, make_scenes
from helpers.tiny_nets import SEGMENTER
from helpers.tiny_training import CLASSIFY, SEGMENT, is_parameter, read_log, train_classifier, train_segmenter
from PIL import Image

from attnimg.datasets.masks import ClassTable, find_masked, read_class_table, read_mask
from attnimg.errors import UsageError
from attnimg.labels import VOID, SegmentClass
from attnimg.models import checkpoints
from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.segmenter import SegmenterNet
from attnimg.training.cache.photos import cache_masked
from attnimg.training.tasks.segment import take_weights


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a data set that the test may spoil."""
    return make_scenes(tmp_path / "data", count=2)


@pytest.mark.slow
def test_a_run_learns_and_its_file_says_what_it_is(scenes: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(SEGMENT, epochs=6, crops=6, learning_rate=1e-2)
    path = train_segmenter(recipe, scenes, tmp_path, device="cpu")
    rows = read_log(tmp_path)
    assert len(rows) == 6
    assert list(rows[0])[4:] == ["miou", "pixel_accuracy", "loss"]
    assert max(float(row["miou"]) for row in rows) > 0.8
    header, tensors = checkpoints.read(path)
    assert header["classes"] == [{"id": i, "label": n, "color": c} for i, (n, c) in enumerate(COLORS.items())]
    assert header["preprocessing"]["size"] == 64
    assert header["attention"] == "backbone.attention"
    assert header["training"]["images"] == 6
    assert {f["name"]: f["value"] for f in header["figures"]}["miou"] > 0.8
    SegmenterNet(SEGMENTER).load_state_dict(tensors)  # and nothing that only training has
    assert header["parameters"] == sum(t.numel() for n, t in tensors.items() if is_parameter(n))


def test_other_classes_have_new_logits(scenes: Path, tmp_path: Path) -> None:
    header, tensors = checkpoints.read(train_segmenter(SEGMENT, scenes, tmp_path, device="cpu", steps=1))
    net = SegmenterNet(dataclasses.replace(SEGMENTER, classes=2))
    fresh = net.logits.weight.clone()
    take_weights(net, header, tensors, ClassTable(TABLE.classes[:2], VOID))
    assert torch.equal(net.logits.weight, fresh)
    assert torch.equal(net.decoder[0].project[0].weight, tensors["decoder.0.project.0.weight"])


def test_a_classifier_gives_the_beginning_of_the_backbone(classes: Path, scenes: Path, tmp_path: Path) -> None:
    first = train_classifier(CLASSIFY, classes, tmp_path / "a", device="cpu", steps=1)
    said: list[str] = []
    frozen = dataclasses.replace(SEGMENT, learning_rate=1e-9)
    path = train_segmenter(
        frozen, scenes, tmp_path / "b", device="cpu", steps=1, start_from=str(first), say=said.append
    )
    theirs, ours = checkpoints.read(first)[1], checkpoints.read(path)[1]
    name = "backbone.stages.0.0.conv2.0.weight"  # the next stage is 16 wide there, 8 here
    assert torch.allclose(theirs[name], ours[name], atol=1e-3)
    assert any("backbone.stages.0.0.conv2.1" in line for line in said)
    other = SegmenterNet(dataclasses.replace(SEGMENTER, backbone=BackboneConfig(widths=(4, 8), depths=(1, 1))))
    with pytest.raises(UsageError, match="leave --from out"):
        take_weights(other, *checkpoints.read(first), TABLE)


def test_masks_are_kept_with_their_photos(scenes: Path, tmp_path: Path) -> None:
    files = find_masked(scenes / "val")
    assert [Path(f).name for pair in files for f in pair] == ["00.png", "00.png", "01.png", "01.png"]
    kept = cache_masked(files, TABLE, tmp_path)
    for i, (photo, mask) in enumerate(files):
        assert np.array_equal(kept[i][..., :3], np.asarray(Image.open(photo)))
        values = np.asarray(Image.open(mask))
        assert np.array_equal(kept[i][..., 3], np.where(values == 3, VOID, values))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert np.array_equal(cache_masked(files, TABLE, tmp_path)[1], kept[1])
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_a_palette_is_no_hindrance(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [2, 3, 0]], np.uint8)
    image = Image.fromarray(values)
    image.putpalette([v for c in COLORS.values() for v in c])
    assert image.mode == "P"
    image.save(tmp_path / "a.png")
    assert read_mask(str(tmp_path / "a.png"), TABLE).tolist() == [[0, 1, 2], [2, VOID, 0]]


def test_all_masks_that_do_not_fit_are_named(copy: Path, tmp_path: Path) -> None:
    masks = copy / "train" / "masks"
    Image.fromarray(np.full((64, 80), 7, np.uint8)).save(masks / "00.png")
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(masks / "01.png")
    with pytest.raises(UsageError) as error:
        train_segmenter(dataclasses.replace(SEGMENT, batch_size=1), copy, tmp_path / "run", device="cpu")
    message = str(error.value)
    assert "2 of 2 cannot be used" in message
    assert "masks/00.png: It has pixels of 7, but classes are 0 to 2, and void is 3." in message
    assert "masks/01.png has 9 x 8 pixels, but " in message
    assert "images/01.png 80 x 64." in message


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda mask: mask.write_bytes(mask.read_bytes()[:60]), r"01\.png: It cannot be read as a mask"),
        (lambda mask: Image.new("RGB", (80, 64)).save(mask), r"01\.png: Its pixels are RGB, not class ids\. Save"),
        (lambda mask: mask.unlink(), r"images/01\.png has no partner"),
        (lambda mask: mask.rename(mask.with_stem("new")), r"images/01\.png has no partner.*, nor have 1 more"),
        (lambda mask: mask.parent.rename(mask.parent.with_name("labels")), r"train/masks is missing"),
    ],
)
def test_a_bad_mask_is_named(copy: Path, tmp_path: Path, spoil: object, named: str) -> None:
    spoil(copy / "train" / "masks" / "01.png")  # type: ignore[operator]
    with pytest.raises(UsageError, match=named):
        train_segmenter(dataclasses.replace(SEGMENT, batch_size=1), copy, tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    "table",
    [
        None,
        "{",
        '["sky", "road"]',
        '{"classes": ["sky", "road"]}',
        '{"classes": ["sky", "sky"], "colors": [[0, 0, 0], [0, 0, 0]]}',
        '{"classes": ["sky", "road"], "colors": [[0, 0, 0], [0, 256, 0]]}',
        '{"classes": ["sky", "road"], "colors": [[0, 0, 0]]}',
        '{"classes": ["sky", "road"], "colors": [[0, 0, 0], [0, 0, 0]], "void": 1}',
    ],
)
def test_a_wrong_class_table_is_wrong_usage_that_shows_the_form(tmp_path: Path, table: str | None) -> None:
    if table is not None:
        (tmp_path / "classes.json").write_text(table)
    with pytest.raises(UsageError, match=r'classes\.json .*\{"classes": \["sky", "road"\], "colors"'):
        read_class_table(tmp_path)


def test_void_is_255_where_the_table_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"classes": ["sky", "road"], "colors": [[1, 2, 3], [4, 5, 6]]}')
    (tmp_path / "val").mkdir()
    expected = ClassTable((SegmentClass(0, "sky", (1, 2, 3)), SegmentClass(1, "road", (4, 5, 6))), 255)
    assert read_class_table(tmp_path) == read_class_table(tmp_path / "val") == expected


def test_a_part_that_is_all_void_is_wrong_usage(copy: Path, tmp_path: Path) -> None:
    for file in (copy / "val" / "masks").iterdir():
        Image.fromarray(np.full((64, 80), 3, np.uint8)).save(file)
    with pytest.raises(UsageError, match=r"No pixel of the validation masks.*void in classes\.json"):
        train_segmenter(SEGMENT, copy, tmp_path / "run", device="cpu")


def test_too_few_photos_say_what_to_lower(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Lower --batch-size"):
        train_segmenter(dataclasses.replace(SEGMENT, batch_size=5), copy, tmp_path / "run", device="cpu")
