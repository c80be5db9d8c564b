"""Weight files: self-describing, verified, and refused with a sentence when they are wrong."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from attnimg.errors import Unavailable
from attnimg.files.state import sha256
from attnimg.models import checkpoints
from attnimg.models.sources import find_model
from attnimg.predictors.classify import load_classifier
from attnimg.predictors.enhance import load_enhancer
from attnimg.predictors.segment import load_segmenter

HEADER = {"task": "classify", "architecture": {"name": "classifier"}, "b": 1, "a": [1, 2]}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    checkpoints.write(path, HEADER, {"w": torch.arange(6.0).reshape(2, 3).half(), "n": torch.tensor(3)})
    return path


def test_what_is_written_is_read(model: Path) -> None:
    header, tensors = checkpoints.read(model)
    assert header == HEADER
    assert tensors["w"].dtype is torch.float32
    assert tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["n"].item() == 3


def test_the_header_is_one_sorted_json_object_under_one_key(model: Path) -> None:
    data = model.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert list(metadata) == ["attnimg"]
    assert metadata["attnimg"] == json.dumps(HEADER, sort_keys=True)


def test_writing_leaves_nothing_else(model: Path) -> None:
    assert [p.name for p in model.parent.iterdir()] == [model.name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b"",
        lambda b: b[:5],
        lambda b: b[:40],
        lambda b: b[:-3],
        lambda b: struct.pack("<Q", 1 << 60) + b[8:],
        lambda b: b"\x80\x04" + b[2:],
        lambda b: b.replace(b'"attnimg"', b'"another"'),
        lambda b: b.replace(b"architecture", b"architekture"),
        lambda b: b + b"more",
    ],
)
def test_a_damaged_file_is_refused_with_a_sentence(model: Path, damage) -> None:
    model.write_bytes(damage(model.read_bytes()))
    with pytest.raises(Unavailable, match=r"m\.safetensors.*\."):
        checkpoints.read(model)


def test_verify_goes_by_the_manifest(model: Path) -> None:
    manifest = model.with_name("manifest.json")
    manifest.write_text(json.dumps({"m": {"sha256": sha256(model)}}))
    checkpoints.verify(model)
    manifest.write_text(json.dumps({"m": {"sha256": "0" * 64}}))
    with pytest.raises(Unavailable, match="SHA-256"):
        checkpoints.verify(model)


@pytest.mark.parametrize("text", ["", "[]", "{", "5", '{"m": 5}', '{"m": {}}', '{"m": {"sha256": 5}}'])
def test_a_manifest_that_does_not_list_the_file_is_no_leave(model: Path, text: str) -> None:
    model.with_name("manifest.json").write_text(text)
    with pytest.raises(Unavailable):
        checkpoints.verify(model)


def test_an_unknown_model_is_refused_and_the_shipped_ones_are_named() -> None:
    with pytest.raises(Unavailable, match="shipped model"):
        find_model("no-such-model")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        find_model(str(tmp_path))


@pytest.mark.parametrize("path", checkpoints.available(), ids=lambda p: p.stem)
def test_the_shipped_weights_are_whole(path: Path) -> None:
    checkpoints.verify(path)
    assert path.with_name("manifest.json").is_file()


@pytest.mark.parametrize("load_it", [load_classifier, load_enhancer, load_segmenter])
def test_every_predictor_refuses_what_is_damaged(tmp_path: Path, load_it: Callable[..., object]) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"\x80\x04" * 100)
    with pytest.raises(Unavailable, match=r"m\.safetensors"):
        load_it(str(path), device="cpu")
