"""Weight files whose header says what cannot be: refused, and nothing is allocated for what it merely claims."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.weight_files import Change, refuse, spoil_header

from attnimg.errors import Unavailable
from attnimg.models import checkpoints
from attnimg.models.build import build_net, describe
from attnimg.nets.segmenter import SegmenterConfig
from attnimg.predictors.segment import load_segmenter


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
    *(into(attention=value) for value in (5, [], {"map": "attention"}, "", "expand")),
    *((lambda header, key=key: header.pop(key)) for key in ("classes", "preprocessing", "temperature")),
]


@pytest.mark.parametrize("change", ABSURD, ids=range(len(ABSURD)))
def test_a_header_that_says_what_cannot_be_is_refused(tmp_path: Path, whole: Path, change: Change) -> None:
    refuse(spoil_header(whole, tmp_path / "m.safetensors", change))


def test_nothing_is_allocated_for_what_a_header_merely_claims(tmp_path: Path, whole: Path) -> None:
    def claim(header: dict[str, Any]) -> None:
        header["architecture"]["width"] = 1 << 20  # with the score's layer 300 MB
        header["architecture"]["backbone"]["widths"] = [1 << 20, 1 << 20]  # 40 TB

    path = spoil_header(whole, tmp_path / "m.safetensors", claim)
    with suppress(OSError):  # where it can, the peak begins anew; one of other tests would hide this one
        Path("/proc/self/clear_refs").write_text("5")
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
        "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32, "fit": "shortest"},
        "attention": "attention",
    }
    path = tmp_path / "m.safetensors"
    tensors = build_net(architecture).state_dict()
    checkpoints.write(path, header, tensors)
    load_segmenter(str(path), device="cpu")
    checkpoints.write(path, {**header, "classes": classes}, tensors)
    with pytest.raises(Unavailable, match=r"m\.safetensors.*\."):
        load_segmenter(str(path), device="cpu")
