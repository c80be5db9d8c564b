"""What the shipped enhancer does to photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.dark_photos import difference, enhance_by
from helpers.icc_profiles import P3, make_profile
from helpers.paths import ROOT
from helpers.round_trips import read_back
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attnimg.attention import Recorder
from attnimg.evaluation.enhancement import psnr
from attnimg.images.encode import encode
from attnimg.images.metadata import Metadata
from attnimg.models import checkpoints
from attnimg.predictors.enhance import load_enhancer
from attnimg.predictors.exposure import make_thumbnail

SAMPLES = sorted(p for p in (ROOT / "samples").iterdir() if p.suffix != ".md")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("night" not in [p.stem for p in checkpoints.available()], reason="the model night is not there"),
]


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


def test_batch_composition_changes_no_pixel() -> None:
    enhancer = load_enhancer(device="cpu")  # as random weights hardly come near enough to a code's edge
    photos = [darkened(sample(path, 240)) for path in SAMPLES]
    together = enhance_by(len(photos), enhancer, photos)
    assert len(together) == len(photos)
    for size in (1, 4):
        for both, alone in zip(together, enhance_by(size, enhancer, photos), strict=True):
            assert all(map(np.array_equal, both, alone))


def test_a_bright_photo_is_left_nearly_alone() -> None:
    enhancer = load_enhancer(device="cpu")
    brightest = max(map(sample, SAMPLES), key=np.mean)
    assert psnr(enhancer(brightest), brightest) >= 35


def test_a_bright_photo_of_wide_colors_is_left_nearly_alone() -> None:
    wide = max(map(sample, SAMPLES), key=np.mean).copy()
    wide[:64, :, 2] = 0  # a yellow and green that sRGB cannot hold
    manner = {"format": "PNG", "metadata": Metadata(make_profile(2.2, P3), icc_applied=False)}
    picture = read_back(encode(wide, **manner).data)
    outcome = load_enhancer(device="cpu")(picture.pixels)
    after = read_back(encode(outcome, original=picture, **{**manner, "metadata": picture.metadata}).data).profile_pixels
    assert after is not None
    assert psnr(after, wide) >= 35


def test_dark_photos_become_at_least_half_as_bright_again_and_most_twice_as_bright() -> None:
    enhancer = load_enhancer(device="cpu")
    photos = [darkened(sample(path)) for path in SAMPLES]
    factors = [float(enhancer(dark).mean() / dark.mean()) for dark in photos]
    assert min(factors) >= 1.5
    assert np.median(factors) >= 2


def test_the_shipped_net_shows_no_seam() -> None:
    dark = darkened(sample(SAMPLES[0], 320))
    whole, tiled = (load_enhancer(device="cpu", tile=tile)(dark) for tile in (1024, 128))
    assert difference(whole, tiled) <= 1


def test_hiding_what_is_bright_in_the_map_changes_the_judgement_more() -> None:
    net = load_enhancer(device="cpu").restorer._net.exposure  # type: ignore[attr-defined]
    changes: dict[str, list[float]] = {"bright": [], "dark": []}
    for path in SAMPLES:
        small = torch.from_numpy(make_thumbnail(darkened(sample(path)), 128)).permute(2, 0, 1)[None]
        with torch.no_grad(), Recorder(net, {"attention"}) as recorder:
            judged = net(small).log_gain.mean()
        seen = recorder.maps["attention"][0]
        rank = seen.flatten().argsort().argsort().reshape(seen.shape)
        hidden = {"dark": rank < seen.numel() // 4, "bright": rank >= seen.numel() - seen.numel() // 4}
        for name, cells in hidden.items():  # what the map weights are features; they give way to their mean

            def hide(_: object, args: tuple[Tensor], cells: Tensor = cells) -> tuple[Tensor]:
                return (torch.where(cells, args[0].mean((2, 3), keepdim=True), args[0]),)

            with net.attention.register_forward_pre_hook(hide), torch.no_grad():
                changes[name].append(float((net(small).log_gain.mean() - judged).abs()))
    assert np.mean(changes["bright"]) > 1.5 * np.mean(changes["dark"])
