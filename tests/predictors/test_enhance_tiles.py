"""Tiles and batches of the enhancer: no seam shows, and where memory is scarce they become smaller."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from helpers.dark_photos import difference, enhance, enhance_by, photo
from helpers.tiny_nets import random_enhancer, shared_enhancer
from torch import Tensor

from attnimg.models.device import torch_memory_errors
from attnimg.nets.enhancer.net import MULTIPLE
from attnimg.predictors.enhance import SMALLEST_TILE, Enhancer, tiles
from attnimg.predictors.restorer import Settings, TwoStageRestorer
from attnimg.predictors.temporal import TemporalEnhancer


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("tile", [64, 128])
@pytest.mark.parametrize("denoise", [0.0, 1.0])
def test_no_seam_shows_between_tiles(tile: int, dtype: type, denoise: float) -> None:
    pixels = photo(300, 140).astype(dtype) * (257 if dtype == np.uint16 else 1)
    whole = enhance(shared_enhancer(tile=1024), pixels, denoise=denoise)
    tiled = enhance(shared_enhancer(tile=tile), pixels, denoise=denoise)
    assert difference(whole, pixels) > 40 * np.iinfo(dtype).max / 255
    assert difference(whole, tiled) <= np.iinfo(dtype).max / 255


@pytest.mark.parametrize(("height", "width", "tile"), [(300, 260, 64), (1, 1, 64), (129, 5, 128), (64, 64, 64)])
def test_tiles_cover_each_pixel_once_and_keep_to_the_grid(height: int, width: int, tile: int) -> None:
    covered = np.zeros((height, width), int)
    for inner, outer in tiles((height, width), tile, TwoStageRestorer.margin):
        covered[inner] += 1
        for i, o in zip(inner, outer, strict=True):
            assert o.start % MULTIPLE == 0 <= o.start <= i.start < i.stop <= o.stop
    assert (covered == 1).all()


def test_photos_that_go_together_hardly_know_of_each_other() -> None:
    enhancer = random_enhancer(tile=128, batching=frozenset({"cpu"}))
    photos = [photo(40, 56, seed, noise=6) for seed in range(9)]
    together = enhance_by(len(photos), enhancer, photos)
    for size in (1, 4):
        for (a, seen), (b, seen_apart) in zip(together, enhance_by(size, enhancer, photos), strict=True):
            assert difference(a, b) <= 1
            assert np.allclose(seen, seen_apart, atol=1e-5)


class Scarce:
    """Memory of a device that suffices for `most` pixels, of all images of a batch together.

    tried: pixels that the net was given, time by time.
    """

    def __init__(self, enhancer: Enhancer, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.most, self.tried = most, list[int]()
        net = enhancer.restorer._net  # type: ignore[attr-defined]
        self.enhance, self.given = net.enhance, list[weakref.ref[Tensor]]()
        monkeypatch.setattr(net, "enhance", self)

    def __call__(self, x: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        assert not any(ref() is not None for ref in self.given), "what was tried before is in memory still"
        self.given.append(weakref.ref(x))
        self.tried.append(len(x) * x.shape[2] * x.shape[3])
        if self.tried[-1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.enhance(x, *others)


def test_tiles_shrink_where_memory_is_scarce_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = photo(700, 650)
    whole = enhance(random_enhancer(tile=1024), pixels)
    enhancer = random_enhancer(tile=1024)
    scarce = Scarce(enhancer, monkeypatch, 400**2)  # 256 pixels and their margins
    gc.disable()
    try:
        shrunk = enhance(enhancer, pixels)
    finally:
        gc.enable()
    assert enhancer.tile == 256
    assert [size for size in scarce.tried if size > scarce.most] == [704 * 656, 576**2]
    assert difference(whole, shrunk) <= 1
    assert np.array_equal(shrunk, enhance(random_enhancer(tile=256), pixels))
    scarce.tried.clear()
    assert np.array_equal(enhance(enhancer, pixels), shrunk)
    assert max(scarce.tried) <= scarce.most


def test_photos_that_go_together_part_where_memory_is_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer = random_enhancer(tile=512, batching=frozenset({"cpu"}))
    prepared = [enhancer.prepare(photo(128, 160, seed)) for seed in range(9)]
    plenty = [r.pixels for r in enhancer.predict(prepared)]
    scarce = Scarce(enhancer, monkeypatch, 4 * 128 * 160)
    for one, other in zip(enhancer.predict(prepared), plenty, strict=True):
        assert difference(one.pixels, other) <= 1
    assert enhancer.tile == 256
    assert [size // (128 * 160) for size in scarce.tried] == [9, 3, 3, 3]


def test_a_photo_that_fits_in_no_tile_is_out_of_memory_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer = random_enhancer(tile=1000)
    Scarce(enhancer, monkeypatch, 160**2)
    large, small = (enhancer.prepare(photo(side, side)) for side in (500, 100))
    with pytest.raises(MemoryError):
        enhancer.predict([large], attention=True)
    assert enhancer.tile == SMALLEST_TILE
    assert enhancer.predict([small])[0].pixels.shape == (100, 100, 3)
    chosen = random_enhancer(tile=64)
    Scarce(chosen, monkeypatch, 100**2)
    with pytest.raises(MemoryError):
        chosen.predict([large])
    assert chosen.tile == 64


def test_frames_of_a_video_are_restored_in_smaller_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    enhancer, frame = random_enhancer(tile=512), photo(400, 300)
    plenty = TemporalEnhancer(enhancer, Settings())(frame, 0.0)
    Scarce(enhancer, monkeypatch, 300**2)
    assert difference(TemporalEnhancer(enhancer, Settings())(frame, 0.0), plenty) <= 1
    assert enhancer.tile == SMALLEST_TILE


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
    with pytest.raises(MemoryError), torch_memory_errors():
        raise error


def test_other_errors_of_a_device_are_themselves() -> None:
    with pytest.raises(RuntimeError, match="illegal"), torch_memory_errors():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
