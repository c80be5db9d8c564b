"""Training enhancers: the run learns and resumes, darkness is its formula, and crops lie where their boxes say."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_linear_rgb
from numpy.typing import NDArray
from PIL import Image
from test_enhancer_net import SMALL as NET
from test_training import states_equal
from torch import Tensor
from torch.nn import functional as F

from attnimg import checkpoints
from attnimg.datasets.pairs import find_pairs
from attnimg.errors import UsageError
from attnimg.nets.enhancer import MULTIPLE
from attnimg.tasks.enhance import load_enhancer
from attnimg.tasks.exposure import squeeze
from attnimg.training.darkness import darken
from attnimg.training.enhancement import GLANCE, Enhancement, Kind, PhotoPairs, charbonnier
from attnimg.training.loop import LAST
from attnimg.training.photos import Photos, keep_photos
from attnimg.training.recipe import RECIPES, Darkness, EnhanceRecipe, dump_toml, load_recipe
from attnimg.training.state import load_state
from attnimg.training.train_enhancer import train_enhancer

CPU = torch.device("cpu")
SMALL = EnhanceRecipe(
    name="small",
    net=NET,
    epochs=2,
    size=48,
    start_size=32,
    batch_size=4,
    crops=2,
    glances=1,
    synthetic=0.2,
    precision="fp32",
)


def make_pairs(root: Path, count: int = 6, size: tuple[int, int] = (64, 80), seed: int = 0) -> Path:
    """Write DATA/train and DATA/val: discs and bars of all colours, and the same at an eighth, with noise, as PNG."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    for part, photos in (("train", count), ("val", 2)):
        for i in range(photos):
            bright = np.full((*size, 3), rng.uniform(60, 200, 3))
            for _ in range(6):
                cy, cx, radius = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(5, 25)
                shape = np.hypot(y - cy, x - cx) < radius if rng.random() < 0.5 else np.abs(x - cx) < radius / 3
                bright[shape] = rng.uniform(20, 250, 3)
            dark = bright / 8 + rng.normal(0, 1.5, bright.shape)
            for light, pixels in (("normal", bright), ("low", dark)):
                file = root / part / light / f"{i:02}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(file)
    return root


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of six pairs and two to validate; read only."""
    return make_pairs(tmp_path_factory.mktemp("pairs"))


def as_photos(folder: Path, *arrays: NDArray[np.uint8]) -> Photos:
    path = folder / f"{len(list(folder.iterdir()))}.bin"
    path.write_bytes(b"".join(a.tobytes() for a in arrays))
    return Photos(path, [a.shape[:2] for a in arrays])


def read_log(folder: Path) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader((folder / "log.csv").open())]


def test_a_run_learns_and_its_file_enhances(pairs: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(SMALL, epochs=12, crops=8, bright=0.0, synthetic=0.0, learning_rate=5e-3)
    path = train_enhancer(recipe, pairs, tmp_path, device="cpu")
    rows = read_log(tmp_path)
    assert len(rows) == 12
    assert float(rows[-1]["psnr"]) > float(rows[0]["psnr"]) + 2
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    enhancer = load_enhancer(str(path), device="cpu")
    dark, bright = (np.asarray(Image.open(pairs / "val" / light / "00.png")) for light in ("low", "normal"))
    assert np.abs(enhancer(dark).mean() - bright.mean()) < 0.25 * np.abs(dark.mean() - bright.mean())
    header = checkpoints.read_header(path)
    figures = {f["name"]: f["value"] for f in header["figures"]}
    assert figures["ssim"] == pytest.approx(max(float(row["ssim"]) for row in rows), abs=0.01)
    assert header["training"]["images"] == 6
    assert header["parameters"] == sum(t.numel() for n, t in checkpoints.read(path)[1].items() if is_parameter(n))


def is_parameter(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


@pytest.mark.parametrize("stop", [2, 4])
def test_resuming_from_inside_an_epoch_is_bit_for_bit_the_undisturbed_run(
    pairs: Path, tmp_path: Path, stop: int
) -> None:
    whole = train_enhancer(SMALL, pairs, tmp_path / "whole", device="cpu")
    train_enhancer(SMALL, pairs, tmp_path / "parts", device="cpu", steps=stop)
    parts = train_enhancer(SMALL, pairs, tmp_path / "parts", device="cpu", resume=True)
    states = [load_state(tmp_path / name / LAST) for name in ("whole", "parts")]
    assert states_equal(*states)
    assert states[0]["progress"]["step"] == 6
    assert whole is not None
    assert parts is not None
    assert whole.read_bytes() == parts.read_bytes()
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "parts")


def test_fine_tuning_takes_net_and_weights_from_the_model(pairs: Path, tmp_path: Path) -> None:
    first = train_enhancer(SMALL, pairs, tmp_path / "a", device="cpu", steps=1)
    wide = dataclasses.replace(NET, widths=(16, 16, 16))
    frozen = dataclasses.replace(SMALL, learning_rate=1e-9, name="other", net=wide)
    second = train_enhancer(frozen, pairs, tmp_path / "b", device="cpu", steps=1, start_from=str(first))
    assert first is not None
    assert second is not None
    before, after = checkpoints.read(first), checkpoints.read(second)
    assert after[0]["architecture"] == before[0]["architecture"]
    assert all(torch.allclose(t, after[1][n], atol=1e-3) for n, t in before[1].items() if is_parameter(n))


def test_ordinary_photos_are_enough_where_darkness_is_synthesised(tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data")
    for file in (data / "train" / "low").iterdir():
        file.unlink()
    with pytest.raises(UsageError, match="holds no image"):
        train_enhancer(SMALL, data, tmp_path / "run", device="cpu")
    (data / "train" / "low").rmdir()
    with pytest.raises(UsageError, match=r"low is not there.*pair by name"):
        train_enhancer(SMALL, data, tmp_path / "run", device="cpu")
    path = train_enhancer(SMALL, data, tmp_path / "run", device="cpu", synthesise=True)
    assert path is not None
    assert len(read_log(tmp_path / "run")) == 2
    for part in ("low", "normal"):
        for file in (data / "val" / part).iterdir():
            file.unlink()
        (data / "val" / part).rmdir()
    (data / "val").rmdir()
    alone = [train_enhancer(SMALL, data, tmp_path / name, device="cpu", synthesise=True) for name in "ab"]
    assert alone[0] is not None
    assert alone[1] is not None
    assert alone[0].read_bytes() == alone[1].read_bytes(), "held out, and darkened, alike"
    assert checkpoints.read_header(alone[0])["training"]["images"] == 5


def test_some_photos_may_lack_their_partner_only_where_darkness_is_synthesised(tmp_path: Path) -> None:
    data = make_pairs(tmp_path / "data", count=3)
    (data / "train" / "low" / "01.png").unlink()
    with pytest.raises(UsageError, match=r"normal/01\.png has no partner"):
        train_enhancer(SMALL, data, tmp_path / "run", device="cpu")
    found = find_pairs(data / "train", all_paired=False)
    assert [file is None for file in found.low] == [False, True, False]
    assert [Path(file).name for file in found.normal] == ["00.png", "01.png", "02.png"]
    (data / "train" / "normal" / "02.png").unlink()
    with pytest.raises(UsageError, match=r"low/02\.png has no partner"):
        find_pairs(data / "train", all_paired=False)


def test_photos_that_do_not_fit_are_wrong_usage_that_says_what_to_do(pairs: Path, tmp_path: Path) -> None:
    large = dataclasses.replace(SMALL, size=96)
    with pytest.raises(UsageError, match=r"side of 64 pixels.*96.*Lower --size"):
        train_enhancer(large, pairs, tmp_path / "large", device="cpu")
    many = dataclasses.replace(SMALL, batch_size=13)
    with pytest.raises(UsageError, match="lower --batch-size"):
        train_enhancer(many, pairs, tmp_path / "many", device="cpu")
    data = make_pairs(tmp_path / "data", count=3)
    low = data / "train" / "low" / "01.png"
    Image.open(low).resize((80, 60)).save(low)
    with pytest.raises(UsageError, match=r"low/01\.png and .*normal/01\.png differ in size\. Scale or crop"):
        train_enhancer(SMALL, data, tmp_path / "odd", device="cpu")
    Image.open(low).save(low.with_suffix(".bmp"))
    with pytest.raises(UsageError, match=r"differ by their ending only\. Remove one"):
        find_pairs(data / "train")


@pytest.mark.parametrize(
    ("text", "named"),
    [("size = 100", "multiples of 16"), ("crops = 0", "crops"), ("window = 0.0", "window"), ("bright = 1.1", "bright")],
)
def test_a_wrong_recipe_is_wrong_usage_that_names_the_fault(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError, match=named):
        load_recipe(str(tmp_path / "mine.toml"), EnhanceRecipe)


def test_recipes_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(dump_toml(SMALL))
    assert load_recipe(str(path), EnhanceRecipe) == SMALL


def test_photos_are_decoded_once_and_kept_as_they_are(pairs: Path, tmp_path: Path) -> None:
    files = [str(pairs / "train" / "low" / f"{i:02}.png") for i in range(3)]
    Image.fromarray(np.full((5, 7), 40_000, np.uint16)).save(tmp_path / "deep.png")
    kept = keep_photos([*files, str(tmp_path / "deep.png")], tmp_path / "run")
    assert kept.sizes == [(64, 80)] * 3 + [(5, 7)]
    for i, file in enumerate(files):
        assert np.array_equal(kept[i], np.asarray(Image.open(file)))
    assert (kept[3] == 156).all()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    assert np.array_equal(keep_photos([*files, str(tmp_path / "deep.png")], tmp_path / "run")[2], kept[2])
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()} == before
    assert len(keep_photos([], tmp_path / "run")) == 0


@pytest.mark.parametrize(("exposure", "shot", "read"), [(0.1, 0.02, 0.002), (0.3, 0.005, 0.003), (0.05, 0.03, 0.0005)])
def test_synthetic_noise_has_the_variance_of_its_formula(exposure: float, shot: float, read: float) -> None:
    torch.manual_seed(0)
    fixed = Darkness(
        exposure=(exposure, exposure), uneven=0.0, cast=0.0, gamma=(1.0, 1.0), shot=(shot, shot), read=(read, read)
    )
    codes = torch.full((1, 3, 256, 256), 0.8)
    light = rgb_to_linear_rgb(darken(codes, fixed)).double()
    expected = exposure * float(rgb_to_linear_rgb(codes).mean())
    assert float(light.mean()) == pytest.approx(expected, rel=0.01)
    assert float(light.var()) == pytest.approx(shot**2 * expected + read**2, rel=0.03)


def test_synthetic_darkness_keeps_to_its_bounds_and_differs_from_photo_to_photo() -> None:
    torch.manual_seed(0)
    silent = dataclasses.replace(Darkness(), uneven=0.0, gamma=(1.0, 1.0), shot=(1e-6, 1e-6), read=(1e-6, 1e-6))
    codes = torch.full((400, 3, 4, 4), 0.7)
    share = (rgb_to_linear_rgb(darken(codes, silent)) / rgb_to_linear_rgb(codes)).mean((2, 3)).log2()  # (400, 3)
    low, high = np.log2(silent.exposure)
    assert share.min() >= low - silent.cast - 0.01
    assert share.max() <= high + silent.cast + 0.01
    stops = share.mean(1)
    assert float(stops.mean()) == pytest.approx((low + high) / 2, abs=0.25)
    assert float(stops.std()) == pytest.approx((high - low) / 12**0.5, rel=0.1)  # even in stops
    casts = share - stops[:, None]
    assert 0.5 * silent.cast < casts.abs().max() <= 4 / 3 * silent.cast + 0.01
    default = darken(codes, Darkness())
    assert default.isfinite().all()
    assert 0 <= default.min() < default.max() <= 1


def test_uneven_light_varies_smoothly_within_its_stops() -> None:
    torch.manual_seed(0)
    silent = Darkness((0.1, 0.1), uneven=1.5, cast=0.0, gamma=(1.0, 1.0), shot=(1e-6, 1e-6), read=(1e-6, 1e-6))
    codes = torch.full((50, 3, 64, 64), 0.7)
    stops = (rgb_to_linear_rgb(darken(codes, silent)) / rgb_to_linear_rgb(codes)).log2() - np.log2(0.1)
    assert 1.0 < stops.abs().max() < 1.5 * 1.5, "cubic interpolation overshoots somewhat"
    assert stops.diff(dim=2).abs().max() < 0.25
    assert torch.allclose(stops[:, :1], stops, atol=0.01), "one light for all colours"


def coordinates(height: int, width: int) -> NDArray[np.uint8]:
    """A photo whose red tells the row and green the column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([20 + 2 * y, 20 + 2 * x, 0 * y + 90], -1).astype(np.uint8)


def sample(whole: Tensor, box: Tensor, size: int) -> Tensor:
    """Return what wholes, N x 3 x T x T, have at the pixels of crops in their boxes, N x 3 x size x size."""
    share = (torch.arange(size) + 0.5) / size
    y, x = (box[:, i, None] + (box[:, i + 2] - box[:, i])[:, None] * share for i in (0, 1))
    grid = torch.stack([x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], -1) * 2 - 1
    return F.grid_sample(whole, grid, padding_mode="border", align_corners=False)


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("window", [0.6, 1.0])
def test_crop_box_and_whole_agree_however_they_are_turned(tmp_path: Path, size: int, window: float) -> None:
    photos = as_photos(tmp_path, coordinates(64, 80), coordinates(96, 70))
    recipe = dataclasses.replace(SMALL, window=window, exposure=0.0, bright=0.0, synthetic=0.0)
    data = PhotoPairs(photos, photos, (0, 1))
    task = Enhancement(recipe, data, data)
    turned = set()
    for seed in range(16):
        torch.manual_seed(seed)
        batch = task.batch([0, 1, 2, 3], CPU)
        shapes = [(4, 48, 48, 3)] * 2 + [(4, 4), (8, 32, 32, 6), (8, GLANCE, GLANCE, 3), (8,)]
        assert [tuple(part.shape) for part in batch] == shapes
        given, wanted, whole, wanted_whole, box = task._augment(batch, size)
        assert given.shape == (4, 3, size, size)
        assert torch.equal(given, wanted)
        assert (F.adaptive_avg_pool2d(whole[:, :3], GLANCE) - wanted_whole).abs().max() < 0.6 / 255
        assert (box[:, :2] >= 0).all()
        assert (box[:, :2] < box[:, 2:]).all()
        assert (box[:, 2:] <= 1 + 1e-6).all()
        error = (sample(whole[:4, :3], box, size) - given)[..., 3:-3, 3:-3]  # a cell's centre lies inside the border
        assert error.abs().max() < 1.5 / 255
        down, right = (float(given[0].diff(dim=d)[channel].mean()) for d, channel in ((1, 0), (2, 1)))
        turned.add((np.sign(round(255 * down)), np.sign(round(255 * right))))
    assert len(turned) == 5, "four flips, and transposed"


def test_examples_are_of_all_kinds_in_their_shares(tmp_path: Path) -> None:
    bright, dark = np.full((64, 64, 3), 200, np.uint8), np.full((64, 64, 3), 90, np.uint8)
    normal, low = as_photos(tmp_path, bright, bright), as_photos(tmp_path, dark)
    recipe = dataclasses.replace(SMALL, glances=0, bright=0.2, synthetic=0.3)
    task = Enhancement(recipe, PhotoPairs(low, normal, (None, 0)), PhotoPairs(low, low, (0,)))
    assert task.examples == 4
    torch.manual_seed(0)
    given, wanted, _, whole, wanted_whole, kinds = task.batch([0] * 100 + [1] * 100, CPU)
    shares = [[float((half == kind).float().mean()) for kind in Kind] for half in kinds.chunk(2)]
    assert shares[0] == pytest.approx([0, 0.2, 0.8], abs=0.12)  # without a partner
    assert shares[1] == pytest.approx([0.5, 0.2, 0.3], abs=0.12)
    assert (wanted == 200).all()
    assert (given[kinds == Kind.PAIR] == 90).all()
    assert (given[kinds == Kind.BRIGHT] == 200).all()
    assert (given[kinds == Kind.SYNTHETIC].float().mean((1, 2, 3)) < 195).all()
    expected = torch.from_numpy(np.stack([squeeze(p.numpy(), 32) for p in given]))
    flat = kinds != Kind.SYNTHETIC  # the wholes are larger than the crops, and these are all alike
    assert torch.allclose(whole[flat], expected[flat], atol=1e-6)
    assert (wanted_whole == 200).all()


def test_only_pairs_are_exposed_otherwise_and_never_their_truth(tmp_path: Path) -> None:
    photo = np.full((64, 64, 3), 60, np.uint8)
    photos = as_photos(tmp_path, photo)
    recipe = dataclasses.replace(SMALL, glances=2, bright=0.5, synthetic=0.0, exposure=1.0)
    task = Enhancement(recipe, PhotoPairs(photos, photos, (0,)), PhotoPairs(photos, photos, (0,)))
    torch.manual_seed(0)
    batch = task.batch([0] * 40, CPU)
    given, wanted, whole, wanted_whole, _ = task._augment(batch, 48)
    light, pair = whole[:, :3].mean((1, 2, 3)) / (60 / 255), batch[5] == Kind.PAIR
    assert len(light) == len(pair) == 120
    assert torch.allclose(light[~pair], torch.ones(()), atol=1e-6)
    assert 0.5 <= light[pair].min() < 0.8 < 1.25 < light[pair].max() <= 2
    assert torch.allclose(given.mean((1, 2, 3)) / (60 / 255), light[:40], atol=1e-5)
    for truth in (wanted, wanted_whole):
        assert torch.allclose(truth, torch.full((), 60 / 255))


def test_charbonnier_is_its_formula() -> None:
    x, y = torch.rand(3, 4, dtype=torch.float64), torch.rand(3, 4, dtype=torch.float64)
    expected = np.mean([((a - b) ** 2 + 1e-6) ** 0.5 for a, b in zip(x.flatten(), y.flatten(), strict=True)])
    assert float(charbonnier(x, y)) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(p.stem for p in (RECIPES / "enhance").glob("*.toml")))
def test_a_shipped_recipe_runs_for_twenty_steps_at_every_size(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, EnhanceRecipe)
    side = recipe.size + MULTIPLE
    data = make_pairs(tmp_path / "data", count=1, size=(side, side + 5))
    recipe = dataclasses.replace(recipe, batch_size=1, crops=2, epochs=10, precision="fp32")
    path = train_enhancer(recipe, data, tmp_path / "run", device="cpu")
    assert load_state(tmp_path / "run" / LAST)["progress"]["step"] == 20
    assert path is not None
    assert all(t.isfinite().all() for t in checkpoints.read(path)[1].values())
