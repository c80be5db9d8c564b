"""Training segmenters: the run learns and resumes, photo and mask move alike, losses are their formulas, bad data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from test_segmenter_net import SMALL as NET
from test_training import SMALL as CLASSIFY
from test_training import states_equal
from test_training_enhance import is_parameter, read_log

from attnimg import checkpoints
from attnimg.datasets.masks import ClassTable, SegmentClass, find_masked, read_class_table, read_mask
from attnimg.errors import UsageError
from attnimg.images.masks import VOID
from attnimg.nets.backbone import BackboneConfig
from attnimg.nets.segmenter import Segmenter
from attnimg.tasks.preprocessing import Normalize
from attnimg.training.loop import LAST
from attnimg.training.photos import Photos, keep_masked
from attnimg.training.recipe import RECIPES, SceneAugmentation, SegmentRecipe, dump_toml, load_recipe
from attnimg.training.segmentation import (
    SceneAugment,
    Segmentation,
    count_pixels,
    cut_window,
    lovasz_softmax,
    weigh_classes,
)
from attnimg.training.state import load_state
from attnimg.training.train_classifier import train_classifier
from attnimg.training.train_segmenter import take_weights, train_segmenter

CPU = torch.device("cpu")
COLORS = {"sky": [120, 160, 230], "road": [90, 90, 90], "car": [200, 40, 30]}
TABLE = ClassTable(tuple(SegmentClass(i, n, tuple(c)) for i, (n, c) in enumerate(COLORS.items())), 3)
SMALL = SegmentRecipe(
    name="small",
    net=NET,
    augmentation=SceneAugmentation(colour=0.1),
    epochs=2,
    size=64,
    start_size=48,
    batch_size=4,
    crops=2,
    precision="fp32",
)


def make_scenes(root: Path, count: int = 6, size: tuple[int, int] = (64, 80), seed: int = 0) -> Path:
    """Write a data set of sky above road and a car before it, with noise, whose masks have a void border."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    for part, photos in (("train", count), ("val", 2)):
        for i in range(photos):
            mask = (y > size[0] * rng.uniform(0.3, 0.7)).astype(np.uint8)
            mask[np.hypot(y - rng.uniform(20, 50), x - rng.uniform(20, 60)) < rng.uniform(8, 18)] = 2
            pixels = np.array(list(COLORS.values()))[mask] + rng.normal(0, 15, (*size, 3))
            mask[:2] = 3
            for folder, name, array in (
                ("images", "png", np.clip(pixels, 0, 255).astype(np.uint8)),
                ("masks", "png", mask),
            ):
                file = root / part / folder / f"{i:02}.{name}"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(file)
    table = {"classes": list(COLORS), "colors": list(COLORS.values()), "void": 3}
    (root / "classes.json").write_text(json.dumps(table))
    return root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of six scenes and two to validate; read only."""
    return make_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a data set that the test may spoil."""
    return make_scenes(tmp_path / "data", count=2)


def keep_arrays(folder: Path, *arrays: NDArray[np.uint8]) -> Photos:
    path = folder / f"{len(list(folder.iterdir()))}.bin"
    path.write_bytes(b"".join(a.tobytes() for a in arrays))
    return Photos(path, [a.shape[:2] for a in arrays], 4)


def test_a_run_learns_and_its_file_says_what_it_is(scenes: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(SMALL, epochs=6, crops=6, learning_rate=1e-2)
    path = train_segmenter(recipe, scenes, tmp_path, device="cpu")
    rows = read_log(tmp_path)
    assert len(rows) == 6
    assert list(rows[0])[4:] == ["miou", "pixel_accuracy", "loss"]
    assert max(float(row["miou"]) for row in rows) > 0.8
    assert path is not None
    header, tensors = checkpoints.read(path)
    assert header["classes"] == [{"id": i, "label": n, "color": c} for i, (n, c) in enumerate(COLORS.items())]
    assert header["preprocessing"]["size"] == 64
    assert header["attention"] == "backbone.attention"
    assert header["training"]["images"] == 6
    assert {f["name"]: f["value"] for f in header["figures"]}["miou"] > 0.8
    Segmenter(NET).load_state_dict(tensors)  # and nothing that only training has
    assert header["parameters"] == sum(t.numel() for n, t in tensors.items() if is_parameter(n))


@pytest.mark.parametrize("stop", [2, 4])
def test_resuming_from_inside_an_epoch_is_bit_for_bit_the_undisturbed_run(
    scenes: Path, tmp_path: Path, stop: int
) -> None:
    whole = train_segmenter(SMALL, scenes, tmp_path / "whole", device="cpu")
    train_segmenter(SMALL, scenes, tmp_path / "parts", device="cpu", steps=stop)
    parts = train_segmenter(SMALL, scenes, tmp_path / "parts", device="cpu", resume=True)
    states = [load_state(tmp_path / name / LAST) for name in ("whole", "parts")]
    assert states_equal(*states)
    assert states[0]["progress"]["step"] == 6
    assert whole is not None
    assert parts is not None
    assert whole.read_bytes() == parts.read_bytes()
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "parts")


def test_fine_tuning_takes_net_and_weights_but_other_classes_have_new_logits(scenes: Path, tmp_path: Path) -> None:
    first = train_segmenter(SMALL, scenes, tmp_path / "a", device="cpu", steps=1)
    assert first is not None
    header, tensors = checkpoints.read(first)
    wide = dataclasses.replace(NET, backbone=dataclasses.replace(NET.backbone, widths=(16, 16, 16)))
    frozen = dataclasses.replace(SMALL, learning_rate=1e-9, name="other", net=wide)
    second = train_segmenter(frozen, scenes, tmp_path / "b", device="cpu", steps=1, start_from=str(first))
    assert second is not None
    again = checkpoints.read(second)
    assert again[0]["architecture"] == header["architecture"]
    assert all(torch.allclose(t, again[1][n], atol=1e-3) for n, t in tensors.items() if is_parameter(n))
    net = Segmenter(dataclasses.replace(NET, classes=2))
    fresh = net.logits.weight.clone()
    take_weights(net, header, tensors, ClassTable(TABLE.classes[:2], VOID))
    assert torch.equal(net.logits.weight, fresh)
    assert torch.equal(net.decoder[0].project[0].weight, tensors["decoder.0.project.0.weight"])


def test_a_classifier_gives_the_beginning_of_the_backbone(classes: Path, scenes: Path, tmp_path: Path) -> None:
    first = train_classifier(CLASSIFY, classes, tmp_path / "a", device="cpu", steps=1)
    said: list[str] = []
    frozen = dataclasses.replace(SMALL, learning_rate=1e-9)
    path = train_segmenter(
        frozen, scenes, tmp_path / "b", device="cpu", steps=1, start_from=str(first), say=said.append
    )
    assert path is not None
    theirs, ours = checkpoints.read(first)[1], checkpoints.read(path)[1]
    name = "backbone.stages.0.0.conv2.0.weight"  # the next stage is 16 wide there, 8 here
    assert torch.allclose(theirs[name], ours[name], atol=1e-3)
    assert any("backbone.stages.0.0.conv2.1" in line for line in said)
    other = Segmenter(dataclasses.replace(NET, backbone=BackboneConfig(widths=(4, 8), depths=(1, 1))))
    with pytest.raises(UsageError, match="leave --from out"):
        take_weights(other, *checkpoints.read(first), TABLE)


def test_photo_and_mask_move_alike(tmp_path: Path) -> None:
    y, x = np.mgrid[:60, :90]
    photo = np.stack([2 * y + 20, 2 * x + 20, 0 * x + 90, (y // 12 + x // 18) % 3], -1).astype(np.uint8)
    photo[..., 2] = 60 * photo[..., 3] + 40  # blue tells the class
    photos = keep_arrays(tmp_path, photo)
    recipe = dataclasses.replace(SMALL, augmentation=SceneAugmentation(colour=0.0))
    task = Segmentation(recipe, photos, photos, TABLE, Normalize())
    flipped, covered = set(), []
    for seed, size in ((0, 64), (1, 48), (2, 64)):
        torch.manual_seed(seed)
        windows = task.batch([0] * 8, CPU)
        assert {w.shape[2] for w in windows} == {4}
        assert all(32 <= len(w) <= 128 for w in windows)
        images, masks = task.augment(windows, size, size / 64)
        assert images.shape == (8, 3, size, size)
        assert masks.shape == (8, size, size)
        known = masks != VOID
        blue = ((255 * images[:, 2] - 40) / 60).round()
        assert float((blue == masks)[known].float().mean()) > 0.9, "all but the pixels along the edges"
        covered.append(float(known.float().mean()))
        assert set(masks.unique().tolist()) <= {0, 1, 2, VOID}
        right = images[:, 1].diff(dim=2)
        inside = known[..., 1:] & known[..., :-1]
        flipped |= {np.sign(round(1e3 * float(r[k].median()))) for r, k in zip(right, inside, strict=True)}
    assert {-1, 1} <= flipped
    assert 0.3 < np.mean(covered) < 0.95, "where a window is larger than its photo there is void"


def test_windows_reach_every_corner_and_pad_with_what_lies_beyond() -> None:
    photo = np.arange(5 * 9 * 4, dtype=np.uint8).reshape(5, 9, 4) % 200
    beyond = np.array([201, 202, 203, VOID], np.uint8)
    torch.manual_seed(0)
    seen = set()
    for _ in range(200):
        window = cut_window(photo, 7, beyond)
        rows = np.flatnonzero((window[..., 3] != VOID).any(1))
        assert len(rows) == 5
        assert (window[[r for r in range(7) if r not in rows]] == beyond).all()
        columns = [c for c in range(3) if np.array_equal(window[rows], photo[:, c : c + 7])]
        assert len(columns) == 1
        seen.add((int(rows[0]), columns[0]))
    assert seen == {(top, left) for top in range(3) for left in range(3)}


def test_the_colours_change_and_the_mask_does_not() -> None:
    torch.manual_seed(0)
    window = torch.randint(0, 256, (32, 32, 4), dtype=torch.uint8)
    window[..., 3] %= 3
    augment = SceneAugment(SceneAugmentation(flip=0.0, colour=0.4, hue=0.1))
    images, masks = augment((window,) * 8, 32, 1.0)
    assert torch.equal(masks, window[..., 3].long().expand(8, -1, -1))
    changed = (images - window[..., :3].permute(2, 0, 1) / 255).abs().mean((1, 2, 3))
    assert (changed > 0.01).sum() >= 4
    assert 0 <= images.min() < images.max() <= 1


def test_rare_classes_weigh_more_within_bounds(tmp_path: Path) -> None:
    photo = np.zeros((20, 100, 4), np.uint8)
    photo[0, :, 3] = 1
    photo[1, :5, 3] = 2
    photo[10:, :, 3] = VOID
    empty = np.zeros((20, 100, 4), np.uint8)  # shows one class only, and so tells nothing of the others' frequency
    counts = count_pixels(keep_arrays(tmp_path, photo, empty), 4)
    assert counts.tolist() == [[895, 100, 5, 0], [2000, 0, 0, 0]]
    frequency = np.array([(895 + 2000) / 3000, 0.1, 0.005])
    for balance in (0.0, 0.5):
        expected = (np.median(frequency) / frequency) ** balance
        assert np.allclose(weigh_classes(counts, balance).numpy(), [*expected, 1])
    assert weigh_classes(counts, 1.0).tolist() == pytest.approx([0.1 * 3000 / 2895, 1, 10, 1])


def test_the_cross_entropy_is_the_weighted_mean_and_void_has_no_part(tmp_path: Path) -> None:
    photos = keep_arrays(tmp_path, np.zeros((4, 4, 4), np.uint8))
    task = Segmentation(SMALL, photos, photos, TABLE, Normalize())
    task.weights = torch.tensor([1.0, 2.0, 4.0])
    logits, masks = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    masks[0, :2] = VOID
    total = weight = 0.0
    for n, i, j in np.ndindex(2, 4, 4):
        if (c := int(masks[n, i, j])) != VOID:
            total -= float(task.weights[c] * logits[n, :, i, j].log_softmax(0)[c])
            weight += float(task.weights[c])
    assert float(task._cross_entropy(logits, masks)) == pytest.approx(total / weight, rel=1e-5)
    assert float(task._cross_entropy(logits, torch.full_like(masks, VOID))) == 0


def reference_lovasz(found: NDArray[np.float64], masks: NDArray[np.int64]) -> float:
    """The Lovász extension of the Jaccard loss, by its definition: sums over chains of sets of wrong pixels."""

    def jaccard_loss(wrong: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
        there = truth.sum()
        return float(wrong.sum() / (there + (wrong & ~truth).sum()))

    losses = []
    for class_ in np.unique(masks):
        truth = masks == class_
        errors = np.abs(truth - found[class_])
        order = np.argsort(-errors)
        wrong, before, loss = np.zeros(len(errors), bool), 0.0, 0.0
        for pixel in order:
            wrong[pixel] = True
            now = jaccard_loss(wrong, truth)
            loss, before = loss + errors[pixel] * (now - before), now
        losses.append(loss)
    return float(np.mean(losses))


def test_lovasz_softmax_is_its_definition_and_void_has_no_part() -> None:
    torch.manual_seed(0)
    found = torch.randn(2, 4, 5, 6, dtype=torch.float64).softmax(1).float()
    masks = torch.randint(0, 3, (2, 5, 6))  # the fourth class does not occur
    masks[1, 3:] = VOID
    known = (masks != VOID).numpy()
    expected = reference_lovasz(found.permute(1, 0, 2, 3).double().numpy()[:, known], masks.numpy()[known])
    assert float(lovasz_softmax(found, masks)) == pytest.approx(expected, abs=1e-5)
    certain = torch.nn.functional.one_hot(masks.clamp(max=3), 4).permute(0, 3, 1, 2).float()
    assert float(lovasz_softmax(certain, masks)) == pytest.approx(0, abs=1e-6)
    assert float(lovasz_softmax(found, torch.full_like(masks, VOID))) == 0


def test_a_batch_without_a_class_trains_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    photos = keep_arrays(tmp_path, np.zeros((32, 32, 4), np.uint8))
    task = Segmentation(SMALL, photos, photos, TABLE, Normalize())
    windows = (torch.full((64, 64, 4), VOID, dtype=torch.uint8),) * 2

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x[:, :, ::2, ::2] * scale, x[:, :, ::16, ::16] * scale

    scale = torch.ones((), requires_grad=True)
    loss = task.loss(Net(), windows, 64)
    loss.backward()
    assert float(loss.detach()) == 0
    assert scale.grad == 0


def test_masks_are_kept_with_their_photos(scenes: Path, tmp_path: Path) -> None:
    files = find_masked(scenes / "val")
    assert [Path(f).name for pair in files for f in pair] == ["00.png", "00.png", "01.png", "01.png"]
    kept = keep_masked(files, TABLE, tmp_path)
    for i, (photo, mask) in enumerate(files):
        assert np.array_equal(kept[i][..., :3], np.asarray(Image.open(photo)))
        values = np.asarray(Image.open(mask))
        assert np.array_equal(kept[i][..., 3], np.where(values == 3, VOID, values))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert np.array_equal(keep_masked(files, TABLE, tmp_path)[1], kept[1])
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
        train_segmenter(dataclasses.replace(SMALL, batch_size=1), copy, tmp_path / "run", device="cpu")
    message = str(error.value)
    assert "2 of 2 cannot be used" in message
    assert "masks/00.png: It has pixels of 7, but classes are 0 to 2, and void is 3." in message
    assert "masks/01.png has 9 x 8 pixels, but " in message
    assert "images/01.png 80 x 64." in message


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda mask: mask.write_bytes(mask.read_bytes()[:60]), r"01\.png: It cannot be read as a mask"),
        (lambda mask: Image.new("RGB", (80, 64)).save(mask), r"01\.png: Its pixels are RGB, no class ids\. Save"),
        (lambda mask: mask.unlink(), r"images/01\.png has no partner"),
        (lambda mask: mask.rename(mask.with_stem("new")), r"images/01\.png has no partner.*, nor have 1 more"),
        (lambda mask: mask.parent.rename(mask.parent.with_name("labels")), r"train/masks is not there"),
    ],
)
def test_a_bad_mask_is_named(copy: Path, tmp_path: Path, spoil: object, named: str) -> None:
    spoil(copy / "train" / "masks" / "01.png")  # type: ignore[operator]
    with pytest.raises(UsageError, match=named):
        train_segmenter(dataclasses.replace(SMALL, batch_size=1), copy, tmp_path / "run", device="cpu")


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


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("size = 100", "multiples of 16"),
        ("crops = 0", "crops"),
        ("balance = 1.5", "balance"),
        ("[augmentation]\nscale = [2.0, 1.0]", "scale"),
        ('[net]\nfocus = "se"', "focus"),
    ],
)
def test_a_wrong_recipe_is_wrong_usage_that_names_the_fault(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=named):
        load_recipe(str(tmp_path / "mine.toml"), SegmentRecipe)


def test_recipes_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(dump_toml(SMALL))
    assert load_recipe(str(path), SegmentRecipe) == SMALL


def test_a_part_that_is_all_void_is_wrong_usage(copy: Path, tmp_path: Path) -> None:
    for file in (copy / "val" / "masks").iterdir():
        Image.fromarray(np.full((64, 80), 3, np.uint8)).save(file)
    with pytest.raises(UsageError, match=r"No pixel of the validation masks.*void in classes\.json"):
        train_segmenter(SMALL, copy, tmp_path / "run", device="cpu")


def test_too_few_photos_say_what_to_lower(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lower --batch-size"):
        train_segmenter(dataclasses.replace(SMALL, batch_size=5), copy, tmp_path / "run", device="cpu")


@pytest.mark.parametrize("name", sorted(p.stem for p in (RECIPES / "segment").glob("*.toml")))
def test_a_shipped_recipe_runs_for_twenty_steps_at_every_size(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, SegmentRecipe)
    data = make_scenes(tmp_path / "data", count=1)
    recipe = dataclasses.replace(recipe, batch_size=1, crops=2, epochs=10, precision="fp32")
    path = train_segmenter(recipe, data, tmp_path / "run", device="cpu")
    assert load_state(tmp_path / "run" / LAST)["progress"]["step"] == 20
    assert {int(row["size"]) for row in read_log(tmp_path / "run")} >= {recipe.start_size, recipe.size}
    assert path is not None
    assert all(t.isfinite().all() for t in checkpoints.read(path)[1].values())
