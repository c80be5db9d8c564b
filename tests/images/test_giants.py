"""Whole commands on pictures whose files tell nothing of their size: memory stays bounded."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers.attack_corpus import encode
from helpers.containers import png
from helpers.paths import ROOT
from helpers.results import records
from PIL import Image

pytestmark = pytest.mark.slow

# Between us and the command, so that what we hold does not count as its: the peak of a process is handed down.
PEAK_OF = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
sys.stderr.write(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}\\n")
sys.exit(status)
"""


def peak_of(*args: str | Path) -> tuple[int, str]:
    """Run the program in a process of its own; returns its peak memory in bytes, and stdout."""
    command = [sys.executable, "-c", PEAK_OF, sys.executable, "-m", "attnimg", *map(str, args)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    return int(done.stderr.split()[-1]) * (1 if sys.platform == "darwin" else 1024), done.stdout


def test_flat_giants_among_photos_are_not_decoded_at_once(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (180, 180, 3), np.uint8)
    for i in range(30):
        (folder / f"{i:02}.png").write_bytes(encode(Image.fromarray(noise), "PNG"))
    options = ("--model", model, "--device", "cpu", "--format", "jsonl", "--workers", "2", "--max-pixels", "100000000")
    usual, _ = peak_of("classify", folder, *options)

    giant = png(9_900, 10_000, zlib.compress(bytes(9_901 * 10_000)), color=0)
    assert len(giant).bit_length() == (folder / "00.png").stat().st_size.bit_length()
    for i in range(30, 33):
        (folder / f"{i}.png").write_bytes(giant)
    peak, out = peak_of("classify", folder, *options)
    found = records(out)
    assert [Path(record["path"]).name for record in found] == [f"{i:02}.png" for i in range(33)]
    assert all(record.get("predictions") for record in found)
    assert peak - usual < 5.5 * 99_000_000  # of one giant, gray and colors are 4 bytes of each pixel
