"""Weight files whose bytes were changed: each is refused with one sentence, and nothing else comes of it."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
import torch
from helpers.weight_files import Change, join, refuse, split

from attnimg.errors import Unavailable
from attnimg.models import checkpoints
from attnimg.models.load import load
from attnimg.predictors.classify import load_classifier

NAME = "logits.weight"


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"attnimg": ""},
        {"attnimg": "{"},
        {"attnimg": "null"},
        {"attnimg": "5"},
        {"attnimg": '"task architecture"'},
        {"attnimg": '["task", "architecture"]'},
        {"attnimg": "{}"},
        {"attnimg": '{"task": "classify"}'},
        {"attnimg": '{"task": 5, "architecture": {}}'},
        {"attnimg": '{"task": "classify", "architecture": []}'},
        {"attnimg": "[" * 100_000},
        {"attnimg": '{"a":' * 100_000},
        {"attnimg": "9" * 10_000},
        {"attnimg": 5},
        {"attnimg": {"task": "classify"}},
        [],
        "attnimg",
    ],
    ids=lambda m: repr(m)[:30],
)
def test_metadata_that_is_no_header_is_refused(tmp_path: Path, whole: Path, metadata: object) -> None:
    outer, data = split(whole)
    if metadata is None:
        del outer["__metadata__"]
    else:
        outer["__metadata__"] = metadata
    refuse(join(tmp_path / "m.safetensors", outer, data))


@pytest.mark.parametrize("head", [b"", b"null", b"[]", b"{", b"\xff" * 40, b"[" * 100_000, b"0" * 100])
def test_a_beginning_that_is_no_json_is_refused(tmp_path: Path, whole: Path, head: bytes) -> None:
    refuse(join(tmp_path / "m.safetensors", head, split(whole)[1]))


@pytest.mark.parametrize("length", [0, 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_wrong_length_of_the_header_is_refused(tmp_path: Path, whole: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + whole.read_bytes()[8:])
    refuse(path)


def test_a_header_of_many_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 1 << 33))
        file.truncate((1 << 33) + 100)  # takes no room
    refuse(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t[NAME].update(data_offsets=[0, 1 << 40]),
        lambda t: t[NAME].update(data_offsets=[1 << 63, (1 << 63) + 64]),
        lambda t: t[NAME].update(data_offsets=[-64, 0]),
        lambda t: t[NAME].update(data_offsets=[64, 0]),
        lambda t: t[NAME].update(data_offsets=t["logits.bias"]["data_offsets"]),
        lambda t: t[NAME].update(data_offsets="all"),
        lambda t: t[NAME].update(data_offsets=[0.5, 64.5]),
        lambda t: t[NAME].update(shape=[8, 2]),
        lambda t: t[NAME].update(shape=[16]),
        lambda t: t[NAME].update(shape=[1 << 40, 8]),
        lambda t: t[NAME].update(shape=[1 << 62, 1 << 62]),
        lambda t: t[NAME].update(shape=[-2, -8]),
        lambda t: t[NAME].update(shape=5),
        lambda t: t[NAME].update(dtype="I32"),
        lambda t: t[NAME].update(dtype="U32"),
        lambda t: t[NAME].update(dtype="F64"),
        lambda t: t[NAME].update(dtype="F128"),
        lambda t: t[NAME].update(dtype=None),
        lambda t: t[NAME].pop("dtype"),
        lambda t: t.pop(NAME),
        lambda t: t.update(another=t.pop(NAME)),
        lambda t: t.update({NAME: 5}),
        lambda t: t.update(empty={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
    ],
)
def test_tensors_that_are_not_as_they_should_be_are_refused(tmp_path: Path, whole: Path, change: Change) -> None:
    outer, data = split(whole)
    change(outer)
    refuse(join(tmp_path / "m.safetensors", outer, data))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, whole: Path, value: float) -> None:
    header, tensors = checkpoints.read(whole)
    tensors[NAME][1, 3] = value
    path = tmp_path / "m.safetensors"
    checkpoints.write(path, header, tensors)
    assert NAME in refuse(path)


def test_weights_of_other_kinds_are_refused(tmp_path: Path, whole: Path) -> None:
    header, tensors = checkpoints.read(whole)
    path = tmp_path / "m.safetensors"
    for change in (torch.Tensor.int, torch.Tensor.bool, lambda t: t.to(torch.complex64)):
        checkpoints.write(path, header, {**tensors, NAME: change(tensors[NAME])})
        refuse(path)
    for change in (torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.double):
        checkpoints.write(path, header, {**tensors, NAME: change(tensors[NAME])})
        load_classifier(str(path), device="cpu")


def test_bytes_changed_at_random_are_refused_or_harmless(tmp_path: Path, whole: Path) -> None:
    """Flips, cuts and repetitions, most of them where the header is: never anything but a sentence."""
    original = whole.read_bytes()
    end = 8 + struct.unpack("<Q", original[:8])[0]
    path = tmp_path / "m.safetensors"
    rng = random.Random(0)
    refused = []
    for _ in range(300):
        data = bytearray(original)
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(8) if rng.random() < 0.1 else rng.randrange(end if rng.random() < 0.8 else len(data))
            match rng.randrange(5):
                case 0 | 1:
                    data[at] ^= 1 << rng.randrange(8)
                case 2:
                    data[at] = rng.choice(b'0123456789-.eE{}[]",:\0\xff')
                case 3:
                    del data[at : at + rng.randrange(1, 20)]
                case _:
                    data[at:at] = data[at : at + rng.randrange(1, 20)]
        path.write_bytes(data)
        try:
            load("classify", str(path), device="cpu")
        except Unavailable as error:
            refused.append(str(error))
    assert 150 < len(refused) < 300
    assert not any("\n" in sentence for sentence in refused)
