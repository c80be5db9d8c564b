"""The enhancing predictor: settings, depths, sizes, and what Python gives it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.dark_photos import difference, enhance, photo
from helpers.tiny_nets import ENHANCER, ENHANCER_HEADER, WHOLE, make_enhancer, random_enhancing_net, shared_enhancer
from numpy.typing import NDArray
from PIL import Image

from attnimg.errors import Unavailable, UsageError
from attnimg.models import checkpoints
from attnimg.models.build import describe
from attnimg.predictors.enhance import Enhancer, load_enhancer
from attnimg.predictors.exposure import estimate_exposure_tta, make_thumbnail
from attnimg.predictors.restorer import DETAIL, Settings


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_strength_leaves_every_pixel(dtype: type) -> None:
    codes = np.arange(np.iinfo(dtype).max + 1).astype(dtype)[:: 256 // 8 if dtype == np.uint16 else 1]
    pixels = np.stack([codes, codes[::-1], np.roll(codes, 99)], -1).reshape(-1, 64, 3)
    assert np.array_equal(enhance(shared_enhancer(), pixels, strength=0), pixels)


def test_strength_fades_evenly_from_the_photo_to_the_result() -> None:
    enhancer, pixels = shared_enhancer(), photo(70, 90)
    full = enhance(enhancer, pixels)
    assert difference(full, pixels) > 40
    for strength in (0.01, 0.3, 0.5, 0.99):
        expected = pixels + strength * (full.astype(float) - pixels)
        assert np.abs(enhance(enhancer, pixels, strength=strength) - expected).max() <= 1


@pytest.mark.parametrize("target", [0.3, 0.45, 0.6])
def test_exposure_reaches_its_target(target: float) -> None:
    enhancer = shared_enhancer(restores=False)
    for pixels in (photo(120, 90), photo(60, 200, seed=1, light=0.2), photo(64, 64, light=0.3).astype(np.uint16) * 257):
        mean = enhance(enhancer, pixels, exposure=target).mean() / np.iinfo(pixels.dtype).max
        assert mean == pytest.approx(target, abs=0.02)


def test_exposure_never_darkens() -> None:
    pixels = photo(64, 80, light=0.8)
    for target in (0.0, pixels.mean() / 255 - 0.05):
        assert np.array_equal(enhance(shared_enhancer(), pixels, exposure=target), pixels)
    plain, black = shared_enhancer(restores=False), np.zeros((32, 32, 3), np.uint8)
    assert (enhance(plain, pixels, exposure=0.5) >= pixels.astype(int) - 12).all()  # the noise
    assert not enhance(plain, black, exposure=1.0).any(), "no gain brightens nothing"


def box_mean(added: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over DETAIL x DETAIL pixels, as far as the photo goes."""
    height, width, _ = added.shape
    means, half = np.empty_like(added), DETAIL // 2
    for y, x in np.ndindex(height, width):
        means[y, x] = added[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1].mean((0, 1))
    return means


@pytest.mark.parametrize("denoise", [0.0, 0.4, 1.0])
def test_denoise_is_the_share_kept_of_what_is_smaller_than_detail(denoise: float) -> None:
    net, pixels = random_enhancing_net(), photo(48, 64, noise=12)
    x = torch.from_numpy(pixels / 255).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        seen = estimate_exposure_tta(net, torch.from_numpy(make_thumbnail(pixels, 32)).permute(2, 0, 1)[None])
        bright, added = (t[0].permute(1, 2, 0).double().numpy() for t in net.enhance(x, seen, WHOLE))
    larger = box_mean(added)
    assert np.abs(added - larger).max() > 0.05
    expected = np.clip(bright + larger + denoise * (added - larger), 0, 1) * 255
    assert np.abs(enhance(shared_enhancer(), pixels, denoise=denoise) - expected).max() <= 0.52  # 0.5 is rounding


def test_deep_photos_keep_their_depth_and_look_like_their_eight_bits() -> None:
    enhancer, pixels = shared_enhancer(), photo(64, 96, noise=6)
    estimate, _ = enhancer.restorer.estimate(make_thumbnail(pixels, 32)[None], Settings())
    both = (pixels, pixels.astype(np.uint16) * 257)
    (shallow,), (deep,) = (enhancer.restore([p], estimate, Settings()) for p in both)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - shallow).max() <= 0.51
    assert len(np.unique(deep)) > 4 * len(np.unique(shallow))
    small = [make_thumbnail(p, 32) for p in both]
    assert np.abs(small[0] - small[1]).max() < 1e-5


def test_attention_lies_over_the_photo_and_changes_no_pixel() -> None:
    enhancer = shared_enhancer()
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
        assert enhance(shared_enhancer(restores=False, tile=tile), pixels).mean() > pixels.mean()
        enhance(shared_enhancer(tile=tile), pixels, exposure=0.5, denoise=0.5)


def test_black_and_white_stay_and_gray_becomes_brighter_evenly() -> None:
    enhancer = shared_enhancer(restores=False)
    for code in (0, 255):
        flat = np.full((50, 70, 3), code, np.uint8)
        assert np.array_equal(enhance(enhancer, flat), flat)
    gray = enhance(enhancer, np.full((50, 70, 3), 60, np.uint8)).astype(int)
    assert gray.min() > 60
    assert np.abs(np.diff(gray, axis=0)).max() <= 12
    assert np.abs(np.diff(gray, axis=1)).max() <= 12


def test_python_api_takes_images_arrays_and_lists() -> None:
    enhancer, a, b = shared_enhancer(), photo(40, 56), photo(30, 20, seed=1)
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


def test_a_weight_file_makes_the_predictor_that_was_written(tmp_path: Path) -> None:
    net = make_enhancer()
    header = {**ENHANCER_HEADER, "task": "enhance", "architecture": describe(ENHANCER)}
    checkpoints.write(tmp_path / "mine.safetensors", header, net.state_dict())
    enhancer = load_enhancer(str(tmp_path / "mine.safetensors"), device="cpu", tile=70)
    assert (enhancer.model, enhancer.tile) == ("mine", 80)
    pixels = photo(40, 56)
    assert np.array_equal(enhancer(pixels), Enhancer(net, ENHANCER_HEADER, model="", device="cpu")(pixels))
    checkpoints.write(tmp_path / "other.safetensors", {**header, "task": "classify"}, {})
    with pytest.raises(Unavailable, match="classify, not for enhance"):
        load_enhancer(str(tmp_path / "other.safetensors"), device="cpu")
    narrow = describe(dataclasses.replace(ENHANCER, widths=(4, 8, 8)))
    checkpoints.write(tmp_path / "other.safetensors", {**header, "architecture": narrow}, net.state_dict())
    with pytest.raises(Unavailable, match="does not fit"):
        load_enhancer(str(tmp_path / "other.safetensors"), device="cpu")
