"""Preprocessing as data: headers are read, checked and written, and pixels are normalized by them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from attnimg.models.preprocessing import MOST_SIZE, Preprocessing

VALUES: dict[str, Any] = {"fit": "square", "size": 64, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
NAN, INFINITY = float("nan"), float("inf")


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in VALUES.items() if name != key}


@pytest.mark.parametrize(
    "values",
    [
        *(None, [], {}, 5, "square"),
        {**VALUES, "crop": 1},
        *(without(key) for key in VALUES),
        *({**VALUES, "fit": fit} for fit in (None, "", "center square", "squeeze", 5, ["square"])),
        *({**VALUES, "size": size} for size in (None, 0, -1, 1.5, "64", True, [64], MOST_SIZE + 1, 10**400)),
        *(
            {**VALUES, key: numbers}
            for key in ("mean", "std")
            for numbers in (None, 0.5, [], [0.5] * 2, [0.5] * 4, "0.5", ["0.5"] * 3, [[0.5]] * 3, [True] * 3)
        ),
        *({**VALUES, "mean": [0.5, 0.5, value]} for value in (NAN, INFINITY)),
        *({**VALUES, "std": [0.5, 0.5, value]} for value in (NAN, INFINITY, 0, 0.0, -0.5)),
    ],
    ids=repr,
)
def test_wrong_and_missing_values_are_errors(values: Any) -> None:
    with pytest.raises(ValueError, match=r"preprocessing|fit|size|mean|std"):
        Preprocessing.of({"preprocessing": values}, "square", "shortest")


def test_a_header_without_preprocessing_is_an_error() -> None:
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing.of({}, "square")


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing("square", 64, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)),
        Preprocessing("shortest", 1, (0, 0, 0), (1, 1, 1)),
        Preprocessing("squeeze", MOST_SIZE),
    ],
)
def test_what_is_written_into_a_header_is_read(preprocessing: Preprocessing) -> None:
    header = {"preprocessing": json.loads(json.dumps(preprocessing.to_dict()))}
    assert Preprocessing.of(header, preprocessing.fit) == preprocessing


def test_pixels_are_normalized_by_channel() -> None:
    pixels = torch.randint(0, 256, (2, 3, 5, 3), dtype=torch.uint8)
    expected = pixels.double() / 255
    plain = Preprocessing("square", 64)(pixels)
    assert (plain.shape, plain.dtype) == ((2, 3, 3, 5), torch.float32)
    assert torch.allclose(plain.permute(0, 2, 3, 1).double(), expected, atol=1e-6)
    normalized = Preprocessing.of({"preprocessing": VALUES}, "square")(pixels)
    for channel, (mean, std) in enumerate(zip(VALUES["mean"], VALUES["std"], strict=True)):
        assert torch.allclose(normalized[:, channel].double(), (expected[..., channel] - mean) / std, atol=1e-5)
