"""A folder of photos and the program that copies them, run as a process: so it can be killed, robbed and starved."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from helpers.copy_task import ENDING
from helpers.paths import HELPERS
from helpers.results import records

PROGRAM = HELPERS / "copy_program.py"
COUNT = 24
SIDE = 32

RUN = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Copier:
    """A folder of photos, and the program that copies them, run there. each: all of them by name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.photos, self.out = folder, folder / "photos", folder / "out"
        self.photos.mkdir()
        self.model = folder / "model.safetensors"
        self.model.write_bytes(b"weights")
        self.each = " ".join(f"photos/{i:02}.png" for i in range(COUNT))
        random = np.random.default_rng(0)
        for name in self.each.split():
            Image.fromarray(random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(folder / name)

    def start(self, *args: str, before: str = "", **options: Any) -> subprocess.Popen[bytes]:
        """Start the program. before: Python that its process runs first."""
        program = ["-c", before + RUN, str(PROGRAM)] if before else [str(PROGRAM)]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([sys.executable, *program, *args], cwd=self.folder, **{**pipes, **options})

    def copy(self, *args: str, inputs: str = "photos", **options: Any) -> subprocess.Popen[bytes]:
        return self.start(
            "copy",
            *inputs.split(),
            "-o",
            "out",
            "--model",
            "model.safetensors",
            "--batch-size",
            "4",
            "--workers",
            "2",
            *args,
            **options,
        )

    def resume(self, status: int = 0, listed: bytes | None = None) -> list[dict[str, Any]]:
        """Go on with the run of r.jsonl to its end, and return the records."""
        child = self.start("resume", "r.jsonl", stdin=subprocess.PIPE)
        out, err = child.communicate(listed, timeout=60)
        assert child.returncode == status, err
        return records(out)

    def report(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "r.jsonl").read_bytes().splitlines()]

    def check_all_done(self, found: list[dict[str, Any]]) -> None:
        """Assert that each photo has its record and its copy, that no half file is left, and none was done twice."""
        names = listing(self.photos)
        assert [Path(record["path"]).name for record in found] == names
        assert [record["output"] for record in found] == [f"out/{Path(name).stem}{ENDING}" for name in names]
        assert listing(self.out) == [f"{Path(name).stem}{ENDING}" for name in names]
        for record in found:
            assert is_copy(self.folder / record["path"], self.folder / record["output"])
        assert set(Counter(line["path"] for line in self.report() if line["event"] == "done").values()) == {1}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_copy(one: Path, other: Path) -> bool:
    with Image.open(one) as first, Image.open(other) as second:
        return np.array_equal(np.asarray(first), np.asarray(second))


def kinds(found: list[dict[str, Any]]) -> dict[str, str]:
    return {Path(record["path"]).name: record["error"]["kind"] for record in found if "error" in record}


def stdout(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdout
    return child.stdout


def limit_files(size: int) -> Callable[[], None]:
    """Return a `preexec_fn` that fills a child's disk: no file of it takes more bytes than this."""
    return partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
