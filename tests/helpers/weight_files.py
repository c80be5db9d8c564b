"""A weight file that is whole, how to spoil it, and what must be said of one that is spoilt."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from attnimg.errors import Unavailable
from attnimg.models import checkpoints
from attnimg.models.build import build_net
from attnimg.predictors.classify import load_classifier

Change = Callable[[dict[str, Any]], object]

ARCHITECTURE = {
    "name": "classifier",
    "classes": 2,
    "width": 8,
    "pooling": "region",
    "dropout": 0.0,
    "backbone": {"widths": [4, 8], "depths": [1, 1], "heads": 1, "drop_path": 0.0, "stem_stride": 2},
}
HEADER = {
    "task": "classify",
    "architecture": ARCHITECTURE,
    "classes": [{"id": "n0", "label": "cat"}, {"id": "n1", "label": "dog"}],
    "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3, "size": 32, "fit": "square"},
    "temperature": 1.0,
    "attention": "attention",
}


def write_whole(path: Path) -> Path:
    """Write a tiny classifier, which loads."""
    torch.manual_seed(0)
    checkpoints.write(path, HEADER, build_net(ARCHITECTURE).state_dict())
    load_classifier(str(path), device="cpu")
    return path


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the JSON that safetensors puts first, and the data behind it."""
    data = path.read_bytes()
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def join(path: Path, outer: object, data: bytes) -> Path:
    head = outer if isinstance(outer, bytes) else json.dumps(outer).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)
    return path


def spoil_header(whole: Path, path: Path, change: Change) -> Path:
    """Write a copy whose header, the one of ours, is changed."""
    outer, data = split(whole)
    header = json.loads(outer["__metadata__"]["attnimg"])
    change(header)
    outer["__metadata__"]["attnimg"] = json.dumps(header)
    return join(path, outer, data)


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
