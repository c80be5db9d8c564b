"""Real shells with the real program, but for its nets, as loading torch takes seconds and other tests see to them."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

needs_bash = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("bash"), reason="the shells here are bash with GNU's tools"
)
PATIENCE = 60.0  # seconds; what hangs takes for ever
NAMES = [b"a b.jpg", b"caf\xe9.jpg", b'it\'s "so".jpg', b"new\nline.jpg", b"$(rm -rf x).jpg", b"sub/-n.jpg"]
BAD = b"broken.jpg"
TOOLS = ("jq", "parallel", "sqlite3", "flock")

# Python runs a module `sitecustomize` when it starts. Instead of the real nets this puts one that makes negatives.
STAND_IN = """
import os, sys, threading, time
from types import ModuleType, SimpleNamespace
from attnimg.records import Prediction

class Net:
    model, shortest, lock = "stand-in", 64, threading.Lock()
    def prepare(self, pixels):
        with self.lock:
            time.sleep(float(os.environ.get("SECONDS_PER_PHOTO", 0)))
        return SimpleNamespace(views=pixels)
    def predict(self, prepared, settings=None, *, attention=False):
        return [SimpleNamespace(pixels=255 - one.views, attention=None) for one in prepared]
    def best(self, outcome, topk, min_score):
        light = 1 - float(outcome.pixels.mean() / 255)
        ranked = sorted([("bright", light), ("dark", 1 - light)], key=lambda label: -label[1])
        return tuple(Prediction(name, name, score) for name, score in ranked[:topk])

STUBS = {
    "models.load": {"load": lambda *args, **options: Net()},
    "predictors.classify": dict.fromkeys(("Classifier", "Predicted", "Prepared")),
    "predictors.enhance": dict.fromkeys(("Enhancer", "Prepared", "Restored")),
    "predictors.restorer": {"Settings": lambda *args: args},
}
for name, members in STUBS.items():
    module = sys.modules[f"attnimg.{name}"] = ModuleType(f"attnimg.{name}")
    vars(module).update(members)
"""

PROGRAMS = {
    "attnimg": f'exec {sys.executable} -m attnimg "$@"',
    "curl": 'for last; do :; done; exec cat "${last##*/}"',
    "ssh": 'shift; exec sh -c "$*"',
    "mail": "exec cat > mail",
}


def photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 90, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG")
    return file.getvalue()


class Shell:
    """bash in a folder of its own; `night` holds photos with odd names and one that is none, `good` is a whole one."""

    def __init__(self, folder: Path) -> None:
        self.folder, programs, stand_in = folder / "home", folder / "bin", folder / "stand-in"
        for made in (self.folder / "night" / "sub", self.folder / "backup" / "night", programs, stand_in):
            made.mkdir(parents=True)
        (stand_in / "sitecustomize.py").write_text(STAND_IN)
        for name, script in PROGRAMS.items():
            self.put(programs / name, f"#!/bin/sh\n{script}\n".encode())
            (programs / name).chmod(0o755)
        for seed, name in enumerate(NAMES):
            self.put(b"night/" + name, photo(seed))
        self.put(b"night/" + BAD, b"\xff\xd8\xff")
        self.put(b"good.jpg", photo(9))
        self.programs = programs
        own = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(stand_in), "HOME": str(self.folder)}
        self.environment = {**os.environ, **own, "OMP_NUM_THREADS": "1"}

    def put(self, path: bytes | Path, data: bytes) -> None:
        (self.folder / os.fsdecode(path)).write_bytes(data)

    def start(self, script: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", script], cwd=self.folder, env=self.environment, **options
        )

    def __call__(self, script: str) -> tuple[int, str, str]:
        with self.start(script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            out, err = child.communicate(timeout=PATIENCE)
        return child.returncode, out.decode(), err.decode()

    def read(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def files(self, name: str) -> dict[bytes, bytes]:
        """The files below a folder; hidden ones, such as what is half-written, among them."""
        root = self.folder / name
        return {os.fsencode(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def name_of(record: dict[str, Any]) -> bytes:
    """Return a record's path below `night`, as bytes."""
    path = base64.b64decode(record["path_b64"]) if "path_b64" in record else os.fsencode(record["path"])
    return path.removeprefix(b"./").removeprefix(b"night/")


def is_installed(tool: str) -> bool:
    if tool != "parallel":
        return shutil.which(tool) is not None
    # moreutils has another one.
    return b"GNU parallel" in subprocess.run(["sh", "-c", "parallel --version"], capture_output=True).stdout


def require_tools(script: str) -> None:
    missing = [tool for tool in TOOLS if re.search(rf"\b{tool}\b", script) and not is_installed(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
