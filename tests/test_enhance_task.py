"""The enhancing predictor: settings, tiles, depths, batches, and what the shipped net does to photos."""

from __future__ import annotations

import dataclasses
import gc
import json
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from test_enhancer_net import SMALL, WHOLE, build
from torch import Tensor, nn

from attnimg import checkpoints
from attnimg.attention import Recorder
from attnimg.errors import Unavailable, UsageError
from attnimg.evaluation.enhancement import psnr
from attnimg.images.picture import Pixels
from attnimg.nets.build import describe
from attnimg.nets.enhancer import MULTIPLE
from attnimg.nets.enhancer import Enhancer as Net
from attnimg.tasks.device import memory_errors
from attnimg.tasks.enhance import DETAIL, LEAST_TILE, Enhancer, Settings, load_enhancer, tiles
from attnimg.tasks.exposure import look_from_all_sides, squeeze
from attnimg.tasks.steady import Steady

SAMPLES = sorted(p for p in (Path(__file__).parent.parent / "samples").iterdir() if p.suffix != ".md")
HEADER = {"preprocessing": {"size": 32}, "attention": "look.attention"}
manifest = checkpoints.weights_folder() / "manifest.json"
shipped = pytest.mark.skipif(
    not manifest.is_file() or "night" not in json.loads(manifest.read_text()),
    reason="the enhancer's weights are not shipped in this checkout",
)


def random_net(*, restores: bool = True) -> Net:
    """A small net with random weights; restores=False: one that brightens and adds nothing but smoothness."""
    net = build()
    nn.init.normal_(net.restore.outlet.weight, std=0.03 if restores else 0)
    if not restores:
        nn.init.zeros_(net.restore.outlet.bias)
    return net


def predictor(*, restores: bool = True, tile: int | None = None) -> Enhancer:
    return Enhancer(random_net(restores=restores), HEADER, model="random", tile=tile).to("cpu")


def photo(height: int, width: int, seed: int = 0, light: float = 0.4, noise: float = 3) -> NDArray[np.uint8]:
    """Return a dark photo of waves with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 23 + seed), np.cos(y / 31), np.sin((x + y) / 47)], -1)
    return np.clip(light * (120 + 100 * waves) + rng.normal(0, noise, (height, width, 3)), 0, 255).astype(np.uint8)


def difference(a: Pixels, b: Pixels) -> int:
    """Return the largest, in codes."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def enhance(enhancer: Enhancer, pixels: Pixels, **settings: Any) -> Pixels:
    result: Pixels = enhancer(pixels, Settings(**settings))
    assert result.shape == pixels.shape
    assert result.dtype == pixels.dtype
    return result


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_strength_leaves_every_pixel(dtype: type) -> None:
    codes = np.arange(np.iinfo(dtype).max + 1).astype(dtype)[:: 256 // 8 if dtype == np.uint16 else 1]
    pixels = np.stack([codes, codes[::-1], np.roll(codes, 99)], -1).reshape(-1, 64, 3)
    assert np.array_equal(enhance(predictor(), pixels, strength=0), pixels)


def test_strength_fades_evenly_from_the_photo_to_the_result() -> None:
    enhancer, pixels = predictor(), photo(70, 90)
    full = enhance(enhancer, pixels)
    assert difference(full, pixels) > 40
    for strength in (0.01, 0.3, 0.5, 0.99):
        expected = pixels + strength * (full.astype(float) - pixels)
        assert np.abs(enhance(enhancer, pixels, strength=strength) - expected).max() <= 1


@pytest.mark.parametrize("target", [0.3, 0.45, 0.6])
def test_exposure_reaches_its_target(target: float) -> None:
    enhancer = predictor(restores=False)
    for pixels in (photo(120, 90), photo(60, 200, seed=1, light=0.2), photo(64, 64, light=0.3).astype(np.uint16) * 257):
        mean = enhance(enhancer, pixels, exposure=target).mean() / np.iinfo(pixels.dtype).max
        assert mean == pytest.approx(target, abs=0.02)


def test_exposure_never_darkens() -> None:
    pixels = photo(64, 80, light=0.8)
    for target in (0.0, pixels.mean() / 255 - 0.05):
        assert np.array_equal(enhance(predictor(), pixels, exposure=target), pixels)
    assert (enhance(predictor(restores=False), pixels, exposure=0.5) >= pixels.astype(int) - 12).all()  # the noise
    black = np.zeros((32, 32, 3), np.uint8)
    assert not enhance(predictor(restores=False), black, exposure=1.0).any(), "no gain brightens nothing"


def test_a_turned_photo_is_judged_as_the_upright_one() -> None:
    net, small = random_net(), torch.from_numpy(squeeze(photo(40, 40), 32)).permute(2, 0, 1)[None]
    with torch.no_grad():
        upright = look_from_all_sides(net, small)
        turned = look_from_all_sides(net, torch.rot90(small, 1, (2, 3)).flip(3))
        once = net.look(small)
    assert torch.allclose(upright.log_gain, torch.rot90(turned.log_gain.flip(3), -1, (2, 3)), atol=1e-4)
    assert torch.allclose(upright.context, turned.context, atol=1e-4)
    assert not torch.allclose(upright.log_gain, once.log_gain, atol=1e-3)


def box_mean(added: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over DETAIL x DETAIL pixels, as far as the photo goes."""
    height, width, _ = added.shape
    means, half = np.empty_like(added), DETAIL // 2
    for y, x in np.ndindex(height, width):
        means[y, x] = added[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1].mean((0, 1))
    return means


@pytest.mark.parametrize("denoise", [0.0, 0.4, 1.0])
def test_denoise_is_the_share_kept_of_what_is_smaller_than_detail(denoise: float) -> None:
    net, pixels = random_net(), photo(48, 64, noise=12)
    x = torch.from_numpy(pixels / 255).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        seen = look_from_all_sides(net, torch.from_numpy(squeeze(pixels, 32)).permute(2, 0, 1)[None])
        bright, added = (t[0].permute(1, 2, 0).double().numpy() for t in net.enhance(x, seen, WHOLE))
    larger = box_mean(added)
    assert np.abs(added - larger).max() > 0.05
    expected = np.clip(bright + larger + denoise * (added - larger), 0, 1) * 255
    assert np.abs(enhance(predictor(), pixels, denoise=denoise) - expected).max() <= 0.52  # 0.5 is rounding


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [64, 128])
@pytest.mark.parametrize("denoise", [0.0, 1.0])
def test_no_seam_shows_between_tiles(tile: int, dtype: type, denoise: float) -> None:
    pixels = photo(300, 260).astype(dtype) * (257 if dtype == np.uint16 else 1)
    whole = enhance(predictor(tile=1024), pixels, denoise=denoise)
    tiled = enhance(predictor(tile=tile), pixels, denoise=denoise)
    assert difference(whole, pixels) > 40 * np.iinfo(dtype).max / 255
    assert difference(whole, tiled) <= np.iinfo(dtype).max / 255


@pytest.mark.parametrize(("height", "width", "tile"), [(300, 260, 64), (1, 1, 64), (129, 5, 128), (64, 64, 64)])
def test_tiles_cover_each_pixel_once_and_keep_to_the_grid(height: int, width: int, tile: int) -> None:
    covered = np.zeros((height, width), int)
    for inner, outer in tiles(height, width, tile):
        covered[inner] += 1
        for i, o in zip(inner, outer, strict=True):
            assert o.start % MULTIPLE == 0 <= o.start <= i.start < i.stop <= o.stop
    assert (covered == 1).all()


def test_deep_photos_keep_their_depth_and_look_like_their_eight_bits() -> None:
    enhancer, pixels = predictor(), photo(64, 96, noise=6)
    seen = enhancer.look([squeeze(pixels, 32)], Settings())
    (shallow,), (deep,) = (enhancer.restore([p], seen, Settings()) for p in (pixels, pixels.astype(np.uint16) * 257))
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - shallow).max() <= 0.51
    assert len(np.unique(deep)) > 4 * len(np.unique(shallow))
    small = [squeeze(p, 32) for p in (pixels, pixels.astype(np.uint16) * 257)]
    assert np.abs(small[0] - small[1]).max() < 1e-5


def results(enhancer: Enhancer, photos: list[NDArray[np.uint8]], size: int) -> list[tuple[Pixels, Pixels]]:
    """Enhance photos, `size` at a time; what becomes of each, and what its exposure was judged by."""
    prepared = [enhancer.prepare(p) for p in photos]
    parts = [prepared[i : i + size] for i in range(0, len(prepared), size)]
    found = [r for part in parts for r in enhancer.predict(part, attention=True)]
    return [(r.pixels, r.attention) for r in found if r.attention is not None]


@shipped
def test_batch_composition_changes_no_pixel() -> None:
    enhancer = load_enhancer(device="cpu")  # as random weights hardly come near enough to a code's edge
    photos = [darkened(sample(path, 240)) for path in SAMPLES]
    together = results(enhancer, photos, len(photos))
    assert len(together) == len(photos)
    for size in (1, 4):
        for both, alone in zip(together, results(enhancer, photos, size), strict=True):
            assert all(map(np.array_equal, both, alone))


def test_photos_that_go_together_hardly_know_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnimg.tasks.enhance.TOGETHER", {"cpu"})
    enhancer = predictor(tile=128)
    photos = [photo(40, 56, seed, noise=6) for seed in range(9)]
    together = results(enhancer, photos, len(photos))
    for size in (1, 4):
        for (a, seen), (b, seen_apart) in zip(together, results(enhancer, photos, size), strict=True):
            assert difference(a, b) <= 1
            assert np.allclose(seen, seen_apart, atol=1e-5)


class Scarce:
    """Memory of a device that suffices for `most` pixels, of all images of a batch together.

    tried: pixels that the net was given, time by time.
    """

    def __init__(self, enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.most, self.tried = most, list[int]()
        self.enhance, self.given = enhancer._net.enhance, list[weakref.ref[Tensor]]()
        monkeypatch.setattr(enhancer._net, "enhance", self)

    def __call__(self, x: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        assert not any(ref() is not None for ref in self.given), "what was tried before is in memory still"
        self.given.append(weakref.ref(x))
        self.tried.append(len(x) * x.shape[2] * x.shape[3])
        if self.tried[-1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.enhance(x, *others)


def test_tiles_shrink_where_memory_is_scarce_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photo(700, 650)
    whole = enhance(predictor(tile=1024), pixels)
    enhancer = predictor(tile=1024)
    scarce = Scarce(enhancer, monkeypatch, 400**2)  # 256 pixels and their margins
    gc.disable()
    try:
        shrunk = enhance(enhancer, pixels)
    finally:
        gc.enable()
    assert enhancer.tile == 256
    assert [size for size in scarce.tried if size > scarce.most] == [704 * 656, 576**2]
    assert difference(whole, shrunk) <= 1
    assert np.array_equal(shrunk, enhance(predictor(tile=256), pixels))
    scarce.tried.clear()
    assert np.array_equal(enhance(enhancer, pixels), shrunk)
    assert max(scarce.tried) <= scarce.most


def test_photos_that_go_together_part_where_memory_is_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attnimg.tasks.enhance.TOGETHER", {"cpu"})
    enhancer = predictor(tile=512)
    prepared = [enhancer.prepare(photo(128, 160, seed)) for seed in range(9)]
    plenty = [r.pixels for r in enhancer.predict(prepared)]
    scarce = Scarce(enhancer, monkeypatch, 4 * 128 * 160)
    for one, other in zip(enhancer.predict(prepared), plenty, strict=True):
        assert difference(one.pixels, other) <= 1
    assert enhancer.tile == 256
    assert [size // (128 * 160) for size in scarce.tried] == [9, 3, 3, 3]


def test_a_photo_that_fits_in_no_tile_is_out_of_memory_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer = predictor(tile=1000)
    Scarce(enhancer, monkeypatch, 160**2)
    large, small = (enhancer.prepare(photo(side, side)) for side in (500, 100))
    with pytest.raises(MemoryError):
        enhancer.predict([large], attention=True)
    assert enhancer.tile == LEAST_TILE
    assert enhancer.predict([small])[0].pixels.shape == (100, 100, 3)
    chosen = predictor(tile=64)
    Scarce(chosen, monkeypatch, 100**2)
    with pytest.raises(MemoryError):
        chosen.predict([large])
    assert chosen.tile == 64


def test_frames_of_a_video_are_restored_in_smaller_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer, frame = predictor(tile=512), photo(400, 300)
    plenty = Steady(enhancer, Settings())(frame, 0.0)
    Scarce(enhancer, monkeypatch, 300**2)
    assert difference(Steady(enhancer, Settings())(frame, 0.0), plenty) <= 1
    assert enhancer.tile == LEAST_TILE


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("could not create a memory object"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_devices_run_out_of_memory_as_python_does(error: Exception) -> None:
    with pytest.raises(MemoryError), memory_errors():
        raise error


def test_other_errors_of_a_device_are_themselves() -> None:
    with pytest.raises(RuntimeError, match="illegal"), memory_errors():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_attention_lies_over_the_photo_and_changes_no_pixel() -> None:
    enhancer = predictor()
    prepared = [enhancer.prepare(photo(40, 56, seed)) for seed in range(2)]
    for plain, looked in zip(enhancer.predict(prepared), enhancer.predict(prepared, attention=True), strict=True):
        assert plain.attention is None
        assert np.array_equal(plain.pixels, looked.pixels)
        assert looked.attention is not None
        assert looked.attention.shape == (4, 4)
        assert 0 <= looked.attention.min() < looked.attention.max() <= 1
    assert enhancer.predict([]) == []


@pytest.mark.parametrize("size", [(1, 1), (7, 900), (900, 7), (2, 2), (17, 33)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_size_is_enhanced(size: tuple[int, int], dtype: type) -> None:
    pixels = photo(*size).astype(dtype) * (257 if dtype == np.uint16 else 1)
    for tile in (64, 1024):
        assert enhance(predictor(restores=False, tile=tile), pixels).mean() > pixels.mean()
        enhance(predictor(tile=tile), pixels, exposure=0.5, denoise=0.5)


def test_black_and_white_stay_and_grey_becomes_brighter_evenly() -> None:
    enhancer = predictor(restores=False)
    for code in (0, 255):
        flat = np.full((50, 70, 3), code, np.uint8)
        assert np.array_equal(enhance(enhancer, flat), flat)
    grey = enhance(enhancer, np.full((50, 70, 3), 60, np.uint8)).astype(int)
    assert grey.min() > 60
    assert np.abs(np.diff(grey, axis=0)).max() <= 12
    assert np.abs(np.diff(grey, axis=1)).max() <= 12


def test_python_api_takes_images_arrays_and_lists() -> None:
    enhancer, a, b = predictor(), photo(40, 56), photo(30, 20, seed=1)
    one = enhancer(Image.fromarray(a))
    assert np.array_equal(one, enhancer(a))
    several = enhancer([a, Image.fromarray(b), a])
    assert [s.shape for s in several] == [a.shape, b.shape, a.shape]
    assert np.array_equal(several[2], one)
    assert np.array_equal(enhancer(Image.fromarray(a).convert("RGBA")), one)
    assert enhancer([]) == []
    with pytest.raises(TypeError, match=r"Image\.open"):
        enhancer("photo.jpg")


@pytest.mark.parametrize("name", ["strength", "exposure", "denoise"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_settings_outside_their_range_are_wrong_usage(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name}.*between 0 and 1"):
        Settings(**{name: value})


def shares(length: int, size: int) -> NDArray[np.float64]:
    """How much of each of `size` equal cells each of `length` pixels is, size x length."""
    edges = np.linspace(0, length, size + 1)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return overlap.clip(min=0) / (length / size)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 300), (300, 7), (32, 32), (131, 77), (33, 31), (1, 50)])
def test_squeezing_takes_mean_colours_and_mean_grain(size: tuple[int, int], dtype: type) -> None:
    full = np.iinfo(dtype).max
    pixels = np.random.default_rng(1).integers(0, full, (*size, 3), dtype, endpoint=True)
    wide, grain = pixels.astype(np.int64), np.zeros((*size, 3))
    for y in range(1, size[0]):
        for x in range(1, size[1]):
            steps = np.abs(wide[y, x] - wide[y - 1, x]) + np.abs(wide[y, x] - wide[y, x - 1])
            grain[y, x] = steps / 2
    expected = np.einsum("iy,yxc,jx->ijc", shares(size[0], 32), np.dstack([wide, grain]), shares(size[1], 32)) / full
    small = squeeze(pixels, 32)
    assert small.dtype == np.float32
    assert small.shape == (32, 32, 6)
    assert np.abs(small - expected).max() < 2e-5


def test_a_weight_file_makes_the_predictor_that_was_written(tmp_path: Path) -> None:
    net = build()
    header = {**HEADER, "task": "enhance", "architecture": describe(SMALL)}
    checkpoints.write(tmp_path / "mine.safetensors", header, net.state_dict())
    enhancer = load_enhancer(str(tmp_path / "mine.safetensors"), device="cpu", tile=70)
    assert (enhancer.model, enhancer.tile) == ("mine", 80)
    pixels = photo(40, 56)
    assert np.array_equal(enhancer(pixels), Enhancer(net, HEADER, model="").to("cpu")(pixels))
    checkpoints.write(tmp_path / "other.safetensors", {**header, "task": "classify"}, {})
    with pytest.raises(Unavailable, match="classify, not for enhance"):
        load_enhancer(str(tmp_path / "other.safetensors"), device="cpu")
    narrow = describe(dataclasses.replace(SMALL, widths=(4, 8, 8)))
    checkpoints.write(tmp_path / "other.safetensors", {**header, "architecture": narrow}, net.state_dict())
    with pytest.raises(Unavailable, match="does not fit"):
        load_enhancer(str(tmp_path / "other.safetensors"), device="cpu")


def sample(path: Path, side: int = 256) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BOX))


def darkened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the photo as a tenth of its light would have made it, with a sensor's noise."""
    codes = pixels / 255
    light = 0.1 * np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    light += np.random.default_rng(0).normal(size=light.shape) * np.sqrt(0.01**2 * light + 0.001**2)
    light = light.clip(0, 1)
    codes = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.rint(255 * codes).astype(np.uint8)


@shipped
def test_a_bright_photo_is_left_nearly_alone() -> None:
    enhancer = load_enhancer(device="cpu")
    brightest = max(map(sample, SAMPLES), key=np.mean)
    assert psnr(enhancer(brightest), brightest) >= 35


@shipped
def test_dark_photos_become_at_least_twice_as_bright() -> None:
    enhancer = load_enhancer(device="cpu")
    for path in SAMPLES:
        dark = darkened(sample(path))
        assert enhancer(dark).mean() >= 2 * dark.mean()


@shipped
def test_the_shipped_net_shows_no_seam() -> None:
    dark = darkened(sample(SAMPLES[0], 320))
    whole, tiled = (load_enhancer(device="cpu", tile=tile)(dark) for tile in (1024, 128))
    assert difference(whole, tiled) <= 1


@shipped
def test_hiding_what_is_bright_in_the_map_changes_the_judgement_more() -> None:
    look = load_enhancer(device="cpu")._net.look
    changes: dict[str, list[float]] = {"bright": [], "dark": []}
    for path in SAMPLES:
        small = torch.from_numpy(squeeze(darkened(sample(path)), 128)).permute(2, 0, 1)[None]
        with torch.no_grad(), Recorder(look, {"attention"}) as recorder:
            judged = look(small).log_gain.mean()
        seen = recorder.maps["attention"][0]
        rank = seen.flatten().argsort().argsort().reshape(seen.shape)
        hidden = {"dark": rank < seen.numel() // 4, "bright": rank >= seen.numel() - seen.numel() // 4}
        for name, cells in hidden.items():  # what the map weights are features; they give way to their mean

            def hide(_: object, args: tuple[Tensor], cells: Tensor = cells) -> tuple[Tensor]:
                return (torch.where(cells, args[0].mean((2, 3), keepdim=True), args[0]),)

            handle = look.attention.register_forward_pre_hook(hide)
            with handle, torch.no_grad():
                changes[name].append(float((look(small).log_gain.mean() - judged).abs()))
    assert np.mean(changes["bright"]) > 1.5 * np.mean(changes["dark"])
