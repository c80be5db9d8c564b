"""Measuring enhancement: the figures against the formulas, and `attnimg evaluate enhance` on pairs and on photos."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.results import Run
from numpy.typing import NDArray
from PIL import Image

from attnimg.datasets.reading import NAMED, read_all
from attnimg.errors import UsageError
from attnimg.evaluation.enhancement import EnhancementMetrics, psnr, ssim
from attnimg.evaluation.tasks import enhance
from attnimg.files.state import sha256


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return a smooth picture with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 5 + seed), np.cos(y / 4), np.sin((x + y) / 7)], -1)
    return np.clip(110 + 80 * waves + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)


def reference_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Wang et al. 2004 window by window, in plain numpy and float64."""
    weights = np.outer(*[np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)] * 2)
    weights /= weights.sum()
    edges = ((5, 5), (5, 5), (0, 0))
    x, y = (np.pad(p / 255, edges, mode="symmetric") for p in (a, b))
    scores = []
    for row, column, channel in np.ndindex(a.shape):
        place = (slice(row, row + 11), slice(column, column + 11), channel)
        u, v = x[place], y[place]
        mu, mv = (weights * u).sum(), (weights * v).sum()
        variances = (weights * (u - mu) ** 2).sum() + (weights * (v - mv) ** 2).sum()
        covariance = (weights * (u - mu) * (v - mv)).sum()
        scores.append((2 * mu * mv + 1e-4) * (2 * covariance + 9e-4) / ((mu**2 + mv**2 + 1e-4) * (variances + 9e-4)))
    return float(np.mean(scores))


@pytest.mark.parametrize("size", [(24, 31), (7, 9), (1, 40)])
def test_ssim_is_the_formula(size: tuple[int, int]) -> None:
    truth = photo(*size)
    for output in (photo(*size, seed=1), (truth * 0.3).astype(np.uint8), 255 - truth):
        assert ssim(output, truth) == pytest.approx(reference_ssim(output, truth), abs=1e-5)


def test_figures_of_known_errors() -> None:
    truth = np.full((8, 8, 3), 100, np.uint8)
    metrics = EnhancementMetrics()
    metrics.update(truth, truth)
    metrics.update(truth + np.uint8(10), truth)
    assert metrics.rows[0] == {"psnr": 120, "ssim": pytest.approx(1), "brightness_error": 0}
    assert metrics.rows[1]["psnr"] == pytest.approx(20 * math.log10(255 / 10))
    assert metrics.rows[1]["brightness_error"] == pytest.approx(10 / 255)
    results = dict(metrics.results())
    assert results["psnr"] == pytest.approx((120 + 20 * math.log10(25.5)) / 2), "the mean of dB, not of errors"
    assert results["brightness_error"] == pytest.approx(5 / 255)
    assert psnr(np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)) == 0


def test_brighter_and_darker_do_not_cancel() -> None:
    metrics = EnhancementMetrics()
    for value in (90, 110):
        metrics.update(np.full((4, 4, 3), value, np.uint8), np.full((4, 4, 3), 100, np.uint8))
    assert dict(metrics.results())["brightness_error"] == pytest.approx(10 / 255)


def test_what_is_measured_is_rounded_to_8_bits() -> None:
    truth = photo(9, 12)
    deep = truth.astype(np.uint16) * 257 + np.uint16(100) * (truth < 255)
    metrics = EnhancementMetrics()
    metrics.update(deep, truth)
    assert dict(metrics.results())["brightness_error"] == 0


def test_no_photos_are_an_error() -> None:
    with pytest.raises(ValueError, match="no images"):
        dict(EnhancementMetrics().results())


def test_reading_keeps_the_order_and_names_all_failures() -> None:
    def half(n: int) -> float:
        if n % 3 == 0:
            raise UsageError(f"file {n}: broken.")
        return n / 2

    assert list(read_all([1, 2, 4, 5, 7, 8, 10], half, workers=2)) == [0.5, 1, 2, 2.5, 3.5, 4, 5]
    seen: list[float] = []
    with pytest.raises(UsageError) as error:
        seen.extend(read_all(range(1, 31), half, workers=2))
    assert seen == [0.5, 1], "nothing is worth predicting after the first"
    message = str(error.value)
    assert message.startswith("10 of 30 ")
    assert [f"file {3 * n}:" in message for n in range(1, 11)] == [True] * NAMED + [False] * (10 - NAMED)
    assert message.endswith("And 5 more.")


class Doubler:
    """Stands in for the net's predictor: twice as bright."""

    def __call__(self, image: NDArray[np.uint8 | np.uint16]) -> NDArray[np.uint8 | np.uint16]:
        full = np.iinfo(image.dtype).max
        return np.minimum(image.astype(np.uint32) * 2, full).astype(image.dtype)


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    """Let every weight file be a `Doubler`."""
    monkeypatch.setattr(enhance, "load_enhancer", lambda model, **options: Doubler())
    return model


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Return a data set of three pairs: exactly half as bright, noisy, and of 16 bits in a folder."""
    for part in ("low", "normal"):
        (tmp_path / "data" / "val" / part / "deep").mkdir(parents=True)
    val = tmp_path / "data" / "val"
    half = photo(20, 30) // 2
    Image.fromarray(half).save(val / "low" / "b.png")
    Image.fromarray(half * 2).save(val / "normal" / "b.png")
    Image.fromarray(photo(20, 30, 1) // 2).save(val / "low" / "a.bmp")
    Image.fromarray(photo(20, 30, 2)).save(val / "normal" / "a.png")
    import cv2

    cv2.imwrite(str(val / "low" / "deep" / "c.png"), photo(12, 12, 3).astype(np.uint16) * 100)
    cv2.imwrite(str(val / "normal" / "deep" / "c.png"), photo(12, 12, 4))
    return tmp_path / "data"


def test_pairs(run: Run, night: Path, pairs: Path, tmp_path: Path) -> None:
    command = ("evaluate", "enhance", pairs, "--model", night, "--workers", 2, "--quiet")
    status, out, err = run(*command, "-o", tmp_path / "report")
    assert (status, err) == (0, "")
    results = json.loads(out)
    assert list(results) == ["images", "psnr", "ssim", "brightness_error"]
    assert results["images"] == 3
    with (tmp_path / "report" / "per-image.csv").open(newline="") as file:
        rows = {row.pop("name"): {k: float(v) for k, v in row.items()} for row in csv.DictReader(file)}
    assert list(rows) == ["a.bmp", "b.png", "deep/c.png"]
    assert rows["b.png"] == {"psnr": 120, "ssim": 1, "brightness_error": 0}
    output, truth = photo(20, 30, 1) // 2 * 2, photo(20, 30, 2)
    assert rows["a.bmp"]["ssim"] == pytest.approx(reference_ssim(output, truth), abs=1e-5)
    assert rows["a.bmp"]["psnr"] == pytest.approx(psnr(output, truth), abs=1e-5)
    assert results["psnr"] == pytest.approx(sum(row["psnr"] for row in rows.values()) / 3, abs=1e-5)
    digest = sha256(night)
    assert json.loads((tmp_path / "report" / "metrics.json").read_text()) == {"sha256": digest, **results}

    assert run(*command, "--format", "csv")[1].splitlines()[:2] == ["name,value", "images,3"]
    table = run(*command, "--format", "table")[1].splitlines()
    assert len({len(line) for line in table}) == 1
    assert run("evaluate", "enhance", pairs / "val", "--model", night)[1] == out


def test_all_that_cannot_be_measured_is_named(run: Run, night: Path, pairs: Path) -> None:
    (pairs / "val" / "low" / "a.bmp").write_bytes(b"")
    Image.fromarray(photo(8, 8)).save(pairs / "val" / "normal" / "b.png")
    status, out, err = run("evaluate", "enhance", pairs, "--model", night, "--quiet")
    assert (status, out) == (2, "")
    assert "2 of 3 cannot be used" in err
    assert "a.bmp: The file is empty" in err
    assert "30 x 20 pixels" in err
    assert "8 x 8" in err


def test_a_photo_without_its_partner_is_named(run: Run, night: Path, pairs: Path) -> None:
    (pairs / "val" / "normal" / "b.png").unlink()
    status, _, err = run("evaluate", "enhance", pairs, "--model", night)
    assert status == 2
    assert "b.png" in err


def test_a_data_set_without_a_part_to_measure_on(run: Run, night: Path, pairs: Path, tmp_path: Path) -> None:
    (pairs / "val").rename(pairs / "train")
    for data, named in ((pairs, "no val/"), (tmp_path / "nowhere", "not a folder")):
        status, _, err = run("evaluate", "enhance", data, "--model", night)
        assert status == 2
        assert named in err


def test_the_classifier_s_bad_images_are_all_named(run: Run, model: Path, tmp_path: Path) -> None:
    for i in range(8):
        (tmp_path / f"n{i % 2}").mkdir(exist_ok=True)
        (tmp_path / f"n{i % 2}" / f"{i}.png").write_bytes(b"")
    Image.fromarray(photo(8, 8)).save(tmp_path / "n0" / "good.png")
    status, out, err = run("evaluate", "classify", tmp_path, "--model", model, "--device", "cpu", "--quiet")
    assert (status, out) == (2, "")
    assert "8 of 9 cannot be used" in err
    assert err.count("The file is empty") == NAMED
    assert err.endswith("And 3 more.\n")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of two dim photos, one of them all black."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    Image.fromarray(photo(48, 64) // 2).save(tmp_path / "photos" / "dim.png")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "photos" / "more" / "black.png")
    return tmp_path / "photos"


def test_photos_without_a_truth(run: Run, night: Path, photos: Path, tmp_path: Path) -> None:
    pypiqe = pytest.importorskip("pypiqe")
    status, out, err = run("evaluate", "enhance", photos, "--model", night, "--quiet", "-o", tmp_path / "report")
    assert (status, err) == (0, "")
    with (tmp_path / "report" / "per-image.csv").open(newline="") as file:
        dim, black = csv.DictReader(file)
    assert (dim["name"], black["name"]) == ("dim.png", "more/black.png")
    assert float(black["piqe_before"]) == 100
    assert float(dim["piqe_before"]) == pytest.approx(pypiqe.piqe(photo(48, 64)[..., ::-1] // 2)[0], abs=1e-5)
    results = json.loads(out)
    assert results.pop("images") == 2
    for name, value in results.items():
        assert value == pytest.approx((float(dim[name]) + float(black[name])) / 2, abs=1e-5)


def test_photos_without_the_extra_are_4(run: Run, night: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypiqe", None)
    status, _, err = run("evaluate", "enhance", photos, "--model", night)
    assert status == 4
    assert "pip install 'attnimg[quality]'" in err


def test_no_photos_are_3(run: Run, night: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("evaluate", "enhance", tmp_path / "empty", "--model", night)[0] == 3
