"""Weight files: self-describing, verified, and refused with a sentence when they are wrong."""

from __future__ import annotations

import copy
import json
import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from attnimg import checkpoints
from attnimg.errors import Unavailable
from attnimg.nets.build import build_net, describe
from attnimg.nets.segmenter import SegmenterConfig
from attnimg.tasks.classify import load_classifier
from attnimg.tasks.enhance import load_enhancer
from attnimg.tasks.load import load
from attnimg.tasks.segment import load_segmenter

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
    manifest.write_text(json.dumps({"m": {"sha256": checkpoints.sha256(model)}}))
    checkpoints.verify(model)
    manifest.write_text(json.dumps({"m": {"sha256": "0" * 64}}))
    with pytest.raises(Unavailable, match="SHA-256"):
        checkpoints.verify(model)


def test_an_unknown_model_is_refused_and_the_shipped_ones_are_named() -> None:
    with pytest.raises(Unavailable, match="shipped model"):
        checkpoints.find("no-such-model")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        checkpoints.find(str(tmp_path))


@pytest.mark.parametrize("path", checkpoints.available(), ids=lambda p: p.stem)
def test_the_shipped_weights_are_whole(path: Path) -> None:
    checkpoints.verify(path)
    assert path.with_name("manifest.json").is_file()


Change = Callable[[dict[str, Any]], object]


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the JSON that safetensors puts first, and the data behind it."""
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def join(path: Path, outer: object, data: bytes) -> Path:
    head = outer if isinstance(outer, bytes) else json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)
    return path


@pytest.fixture(scope="module")
def shipped(model_of_classes: Path) -> tuple[dict[str, Any], bytes]:
    return split(model_of_classes)


@pytest.fixture(scope="module")
def model_of_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tiny classifier, which loads."""
    torch.manual_seed(0)
    architecture = {
        "name": "classifier",
        "classes": 2,
        "width": 8,
        "pooling": "region",
        "dropout": 0.0,
        "backbone": {"widths": [4, 8], "depths": [1, 1], "heads": 1, "drop_path": 0.0, "stem_stride": 2},
    }
    header = {
        "task": "classify",
        "architecture": architecture,
        "classes": [{"id": "n0", "label": "cat"}, {"id": "n1", "label": "dog"}],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32},
        "temperature": 1.0,
        "attention": "attention",
    }
    path = tmp_path_factory.mktemp("whole") / "whole.safetensors"
    checkpoints.write(path, header, build_net(architecture).state_dict())
    load_classifier(str(path), device="cpu")
    return path


def refuse(path: Path) -> str:
    """Return the sentence that the file is refused with: one line, which names it."""
    with pytest.raises(Unavailable) as refused:
        load_classifier(str(path), device="cpu")
    message = str(refused.value)
    assert path.name in message
    assert message.endswith(".")
    assert "\n" not in message
    assert len(message) < 600
    return message


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
def test_metadata_that_is_no_header_is_refused(tmp_path: Path, shipped: tuple[dict, bytes], metadata: object) -> None:
    outer, data = copy.deepcopy(shipped[0]), shipped[1]
    if metadata is None:
        del outer["__metadata__"]
    else:
        outer["__metadata__"] = metadata
    refuse(join(tmp_path / "m.safetensors", outer, data))


@pytest.mark.parametrize("head", [b"", b"null", b"[]", b"{", b"\xff" * 40, b"[" * 100_000, b"0" * 100])
def test_a_beginning_that_is_no_json_is_refused(tmp_path: Path, shipped: tuple[dict, bytes], head: bytes) -> None:
    refuse(join(tmp_path / "m.safetensors", head, shipped[1]))


@pytest.mark.parametrize("length", [0, 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_wrong_length_of_the_header_is_refused(tmp_path: Path, model_of_classes: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + model_of_classes.read_bytes()[8:])
    refuse(path)


def test_a_header_of_many_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 1 << 33))
        file.truncate((1 << 33) + 100)  # takes no room
    refuse(path)


NAME = "logits.weight"


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
def test_tensors_that_are_not_as_they_should_be_are_refused(
    tmp_path: Path, shipped: tuple[dict, bytes], change: Change
) -> None:
    outer = copy.deepcopy(shipped[0])
    change(outer)
    refuse(join(tmp_path / "m.safetensors", outer, shipped[1]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, model_of_classes: Path, value: float) -> None:
    header, tensors = checkpoints.read(model_of_classes)
    tensors[NAME][1, 3] = value
    path = tmp_path / "m.safetensors"
    checkpoints.write(path, header, tensors)
    assert NAME in refuse(path)


def test_weights_of_other_kinds_are_refused(tmp_path: Path, model_of_classes: Path) -> None:
    header, tensors = checkpoints.read(model_of_classes)
    path = tmp_path / "m.safetensors"
    for change in (torch.Tensor.int, torch.Tensor.bool, lambda t: t.to(torch.complex64)):
        checkpoints.write(path, header, {**tensors, NAME: change(tensors[NAME])})
        refuse(path)
    for change in (torch.Tensor.half, torch.Tensor.bfloat16, torch.Tensor.double):
        checkpoints.write(path, header, {**tensors, NAME: change(tensors[NAME])})
        load_classifier(str(path), device="cpu")


def into(*keys: str, **values: object) -> Change:
    """Return what sets values inside a header."""

    def change(header: dict[str, Any]) -> None:
        for key in keys:
            header = header[key]
        header.update(values)

    return change


INTEGERS = [0, -1, -(10**18), 10**9, 10**18, 10**30, 10**400, 1.5, "8", None, True, [8], {}]
ABSURD = [
    *(into("architecture", **{key: value}) for key in ("classes", "width") for value in INTEGERS),
    *(into("architecture", "backbone", heads=value) for value in [*INTEGERS, 3]),
    *(into("architecture", "backbone", stem_stride=value) for value in INTEGERS),
    *(into("architecture", "backbone", widths=[4, value]) for value in INTEGERS),
    *(into("architecture", "backbone", depths=[1, value]) for value in INTEGERS),
    *(into("architecture", "backbone", widths=value) for value in (5, "48", [], None, {"4": 8}, [4] * 10_000)),
    into("architecture", "backbone", widths=[10**6] * 2),
    into("architecture", "backbone", widths=[1] * 10**6, depths=[1] * 10**6),
    *(into("architecture", dropout=value) for value in (-0.1, 1.0, 10**400, float("inf"), float("nan"), "0", None)),
    into("architecture", "backbone", drop_path=-1),
    *(into("architecture", backbone=value) for value in (5, None, [], "backbone", {"widht": [4]})),
    *(into("architecture", pooling=value) for value in ("no-such", "", 5, None, ["region"], "gate")),
    into("architecture", "backbone", spatial_attention="no-such"),
    into("architecture", "backbone", channel_attention="self"),
    *(into("architecture", name=value) for value in ("transformer", "segmenter", "enhancer", 5, None, [], {})),
    into("architecture", spare=1),
    *(into(architecture=value) for value in ({}, [], None, "classifier")),
    *(into(task=value) for value in ("segment", "enhance", "paint", "", "a" * 10**6, None, 5, [])),
    *(into(classes=value) for value in ([], 5, None, {}, "ab", [1, 2], [{}, {}], [{"id": "n0", "label": "cat"}])),
    into(classes=[{"id": "n0", "label": None}, {"id": "n1", "label": "dog"}]),
    into(classes=[{"id": "n0", "label": "cat", "more": 1}, {"id": "n1", "label": "dog"}]),
    *(into(preprocessing=value) for value in ({}, [], None, 5, "size")),
    *(into("preprocessing", size=value) for value in INTEGERS),
    *(
        into("preprocessing", mean=value)
        for value in ([], [0.5], 0.5, None, ["0.5"] * 3, [float("inf")] * 3, [[0.5]] * 3)
    ),
    *(into("preprocessing", std=value) for value in ([0.0] * 3, [-1.0] * 3, [float("nan")] * 3, [10**400] * 3, None)),
    *(into(temperature=value) for value in (0, -1.0, float("nan"), float("inf"), "1", None, [], 10**400)),
    *(into(attention=value) for value in (None, 5, [], {"map": "attention"})),
    *((lambda header, key=key: header.pop(key)) for key in ("classes", "preprocessing", "temperature", "attention")),
]


@pytest.mark.parametrize("change", ABSURD, ids=range(len(ABSURD)))
def test_a_header_that_says_what_cannot_be_is_refused(
    tmp_path: Path, shipped: tuple[dict, bytes], change: Change
) -> None:
    outer = copy.deepcopy(shipped[0])
    header = json.loads(outer["__metadata__"]["attnimg"])
    change(header)
    outer["__metadata__"]["attnimg"] = json.dumps(header)
    refuse(join(tmp_path / "m.safetensors", outer, shipped[1]))


def test_nothing_is_allocated_for_what_a_header_merely_claims(tmp_path: Path, shipped: tuple[dict, bytes]) -> None:
    outer = copy.deepcopy(shipped[0])
    header = json.loads(outer["__metadata__"]["attnimg"])
    header["architecture"]["width"] = 1 << 20  # with the score's layer 300 MB
    header["architecture"]["backbone"]["widths"] = [1 << 20, 1 << 20]  # 40 TB
    outer["__metadata__"]["attnimg"] = json.dumps(header)
    path = join(tmp_path / "m.safetensors", outer, shipped[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "should be" in refuse(path)  # the net was built, and compared with what the file holds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize(
    "classes",
    [
        [{"id": 0, "label": "sky", "color": [0, 0, 0]}, {"id": 0, "label": "road", "color": [9, 9, 9]}],
        [{"id": 0, "label": "sky", "color": [0, 0, 0]}, {"id": 300, "label": "road", "color": [9, 9, 9]}],
        [{"id": 0, "label": "sky", "color": [0, 0, 0]}, {"id": 1, "label": "road", "color": [9, 9, 256]}],
        [{"id": 0, "label": "sky", "color": [0, 0, 0]}, {"id": 1, "label": "road", "color": "red"}],
        [{"id": 0, "label": "sky", "color": [0, 0, 0]}, {"id": 1, "label": "road"}],
        [{"id": "0", "label": "sky", "color": [0, 0, 0]}, {"id": "1", "label": "road", "color": [9, 9, 9]}],
    ],
)
def test_classes_that_no_mask_can_hold_are_refused(tmp_path: Path, classes: list[dict[str, Any]]) -> None:
    config = SegmenterConfig(classes=2)
    backbone = {"widths": [8, 8], "depths": [1, 1], "heads": 1}
    architecture = {**describe(config), "backbone": backbone}
    header = {
        "task": "segment",
        "architecture": architecture,
        "classes": [{"id": i, "label": str(i), "color": [i, i, i]} for i in range(2)],
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32},
        "attention": "attention",
    }
    path = tmp_path / "m.safetensors"
    tensors = build_net(architecture).state_dict()
    checkpoints.write(path, header, tensors)
    load_segmenter(str(path), device="cpu")
    checkpoints.write(path, {**header, "classes": classes}, tensors)
    with pytest.raises(Unavailable, match=r"m\.safetensors.*\."):
        load_segmenter(str(path), device="cpu")


def test_bytes_changed_at_random_are_refused_or_harmless(tmp_path: Path, model_of_classes: Path) -> None:
    """Flips, cuts and repetitions, most of them where the header is: never anything but a sentence."""
    whole = model_of_classes.read_bytes()
    end = 8 + struct.unpack("<Q", whole[:8])[0]
    path = tmp_path / "m.safetensors"
    rng = random.Random(0)
    refused = []
    for _ in range(300):
        data = bytearray(whole)
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
            load(str(path), "classify", lambda net, header, model: None)
        except Unavailable as error:
            refused.append(str(error))
    assert 150 < len(refused) < 300
    assert not any("\n" in sentence for sentence in refused)


@pytest.mark.parametrize("load_it", [load_classifier, load_enhancer, load_segmenter])
def test_every_predictor_refuses_what_is_damaged(tmp_path: Path, load_it: Callable[..., object]) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"\x80\x04" * 100)
    with pytest.raises(Unavailable, match=r"m\.safetensors"):
        load_it(str(path), device="cpu")


@pytest.mark.parametrize("text", ["", "[]", "{", "5", '{"m": 5}', '{"m": {}}', '{"m": {"sha256": 5}}'])
def test_a_manifest_that_does_not_list_the_file_is_no_leave(model: Path, text: str) -> None:
    model.with_name("manifest.json").write_text(text)
    with pytest.raises(Unavailable):
        checkpoints.verify(model)
