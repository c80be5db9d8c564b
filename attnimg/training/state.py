"""The state of a run on disk, for exact resumption: tensors and plain values in one safetensors file, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from attnimg.files.write import replacing

KEY = "state"


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write nested dictionaries of tensors and JSON values; the file is replaced in one step."""
    tensors: dict[str, Tensor] = {}
    plain = _split(state, "", tensors)
    with replacing(path) as temporary:
        save_file(tensors, temporary, {KEY: json.dumps(plain)})


def load_state(path: Path) -> dict[str, Any]:
    """Return the state that `save_state` wrote."""
    with safe_open(path, "pt") as file:
        state: dict[str, Any] = _join(json.loads(file.metadata()[KEY]), file)
    return state


def _split(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        return {"items": [[key, _split(v, f"{name}/{key}", tensors)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_split(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]}
    return value


def _join(value: Any, file: Any) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return file.get_tensor(value["tensor"])
        if "list" in value:
            return [_join(v, file) for v in value["list"]]
        return {key: _join(v, file) for key, v in value["items"]}
    return value
