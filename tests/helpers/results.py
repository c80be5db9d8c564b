"""What commands print and write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., tuple[int, str, str]]
"""Runs the program in this process; returns exit status, stdout, stderr."""


def records(out: str | bytes) -> list[dict[str, Any]]:
    """Return what a command printed, a JSON object per line."""
    return [json.loads(line) for line in out.splitlines()]


def files(folder: Path) -> list[str]:
    """Return the paths of all files below a folder, sorted."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
