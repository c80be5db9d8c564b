"""Run every command over photos and hostile files and keep what came of it, to prove that a change changed nothing.

    python scripts/same_results.py record BEFORE        with the code as it was
    python scripts/same_results.py record AFTER --inputs BEFORE     with the code as it is
    python scripts/same_results.py compare BEFORE AFTER

`record` runs the program in a folder of its own over samples/, the hostile files that the attack tests make and, where
$ATTNIMG_DATA names a folder with lol-v1/ and camvid/, excerpts of these. It writes results.json: of each command its
exit status, its records without the wording of messages, and the SHA-256 of every file that it wrote. `compare` prints
what differs and ends with 1 if anything does. It takes about ten minutes on 2 cores; --only WORD runs a part.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, os.fspath(ROOT / "tests"))
MUTANTS = 330
EXCERPT = 4  # photos of each data set
WORDING = {"message", "note"}
CLOSE = 1e-4  # between scores, which depend a little on what else is in a batch

COMMANDS: dict[str, list[str]] = {
    "classify-samples": ["classify", "samples", "--format", "jsonl"],
    "classify-csv": ["classify", "samples", "--format", "csv", "--topk", "2", "--exclude", "*.webp"],
    "classify-json": ["classify", "samples", "--format", "json", "--min-score", "0.3"],
    "classify-table": ["classify", "samples", "--format", "table", "--topk", "1"],
    "classify-views": ["classify", "samples", "--views", "3", "--overlay", "-o", "out"],
    "classify-sorted": ["classify", "samples", "dark", "--sort-into", "out", "--report", "out/run.jsonl"],
    "classify-shard": ["classify", "samples", "--shard", "2/3"],
    "classify-plan": ["classify", "samples", "--sort-into", "out", "--dry-run"],
    "classify-hostile": ["classify", "hostile", "--overlay", "-o", "out", "--max-pixels", "20000000"],
    "classify-isolated": ["classify", "hostile", "--isolate", "--timeout", "60", "--max-pixels", "20000000"],
    "classify-none": ["classify", "empty"],
    "classify-missing": ["classify", "samples/cat.png", "no.jpg", "samples/README.md", "samples/*.webp"],
    "enhance-dark": ["enhance", "dark", "-o", "out", "--overlay", "--side-by-side"],
    "enhance-plan": ["enhance", "dark", "-o", "out", "--dry-run"],
    "enhance-less": ["enhance", "dark", "-o", "out", "--strength", "0.7", "--denoise", "0.5", "--suffix", "-b"],
    "enhance-exposure": ["enhance", "dark/deep.png", "-o", "out/one.tif", "--exposure", "0.4", "--tile", "128"],
    "enhance-webp": ["enhance", "dark", "-o", "out", "--save-as", "webp", "--quality", "80", "--strip"],
    "enhance-hostile": ["enhance", "hostile", "-o", "out", "--max-pixels", "300000"],
    "enhance-isolated": ["enhance", "hostile", "-o", "out", "--isolate", "--max-pixels", "20000"],
    "enhance-video": ["enhance", "clips", "--video", "-o", "out"],
    "enhance-stdout": ["enhance", "dark/plain.jpg", "-o", "-"],
    "enhance-collision": ["enhance", "dark/plain.jpg", "samples/cat.png", "dark/plain.jpg", "-o", "out"],
    "segment-samples": ["segment", "samples", "-o", "out", "--preview", "--overlay", "--polygons"],
    "segment-plan": ["segment", "samples", "-o", "out", "--coco", "out/c.json", "--scores", "--dry-run"],
    "segment-cutout": ["segment", "samples", "-o", "out", "--cutout", "car,tree", "--background", "blur"],
    "segment-clear": ["segment", "dark", "-o", "out", "--cutout", "sky", "--min-area", "50", "--only", "sky,road"],
    "segment-scores": ["segment", "samples/officer.jpg", "-o", "out/one.png", "--scores", "--resize", "none", "--tta"],
    "segment-coco": ["segment", "samples", "-o", "out", "--coco", "out/c.json", "--summary", "out/s.csv"],
    "segment-hostile": ["segment", "hostile", "-o", "out", "--preview", "--max-pixels", "300000"],
    "segment-stdout": ["segment", "samples/officer.jpg", "-o", "-"],
    "models": ["models", "list"],
    "models-show": ["models", "show", "street"],
    "models-verify": ["models", "verify"],
    "evaluate-none": ["evaluate", "classify", "empty"],
    "train-classify": ["train", "classify", "classes", "-o", "out/a", "--epochs", "2", "--learning-rate", "0.01"],
    "train-enhance": ["train", "enhance", "pairs", "-o", "out/b", "--from", "night", "--epochs", "1", "--size", "32"],
    "train-segment": ["train", "segment", "scenes", "-o", "out/c", "--epochs", "1", "--size", "32"],
    "evaluate-classify": ["evaluate", "classify", "classes", "--model", "weights/a.safetensors", "-o", "out"],
    "evaluate-enhance": ["evaluate", "enhance", "pairs", "-o", "out"],
    "evaluate-segment": ["evaluate", "segment", "scenes", "--model", "weights/c.safetensors", "-o", "out"],
}
"""By name; those that train leave their weights for those that come after."""

DATA_COMMANDS = {
    "data-enhance": ["enhance", "lol/val/low", "-o", "out", "--overlay"],
    "data-evaluate-enhance": ["evaluate", "enhance", "lol", "-o", "out"],
    "data-segment": ["segment", "camvid/val/images", "-o", "out", "--preview", "--coco", "out/c.json"],
    "data-evaluate-segment": ["evaluate", "segment", "camvid", "-o", "out"],
    "data-classify": ["classify", "camvid/val/images", "lol/val", "--overlay", "-o", "out"],
}
SKIPPED = {"recipe.toml", "curves.png", "log.csv", "run.jsonl"}  # their wording, or seconds, differ


def make_inputs(folder: Path, data: Path | None) -> None:
    """Make the photos, data sets and hostile files that the commands work on."""
    from helpers.attack_corpus import make_seeds, mutants
    from helpers.tiny_data import make_classes, make_pairs, make_scenes

    shutil.copytree(ROOT / "samples", folder / "samples")
    (folder / "empty").mkdir()
    (folder / "weights").mkdir()
    for name, make in (("classes", make_classes), ("pairs", make_pairs), ("scenes", make_scenes)):
        (folder / name).mkdir()
        make(folder / name)
    hostile = folder / "hostile"
    hostile.mkdir()
    for name, content in mutants(MUTANTS, seed=1):
        (hostile / name).write_bytes(content)
    dark = folder / "dark"
    dark.mkdir()
    for name, content in make_seeds().items():
        (dark / name).write_bytes(content)
    make_clip(folder / "clips")
    if data is not None:
        excerpt(data / "lol-v1", folder / "lol", "low", "normal")
        excerpt(data / "camvid", folder / "camvid", "images", "masks")
        shutil.copy(data / "camvid" / "classes.json", folder / "camvid")


def make_clip(folder: Path) -> None:
    """Write a small video, where PyAV is installed."""
    folder.mkdir()
    try:
        import av
        import numpy as np
    except ImportError:
        return
    random = np.random.default_rng(0)
    with av.open(os.fspath(folder / "clip.mp4"), "w") as file:
        stream = file.add_stream("libx264", 10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(5):
            pixels = random.integers(0, 60, (48, 64, 3), dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        file.mux(stream.encode(None))


def excerpt(source: Path, target: Path, *kinds: str) -> None:
    """Copy the first photos of a data set's validation part."""
    for kind in kinds:
        (target / "val" / kind).mkdir(parents=True)
        for path in sorted((source / "val" / kind).iterdir())[:EXCERPT]:
            shutil.copy(path, target / "val" / kind)


def run(folder: Path, name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run one command and return what came of it."""
    device = [] if arguments[0] == "models" else ["--device", "cpu"]
    command = [sys.executable, "-P", "-m", "attnimg", *arguments, *device]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    found = {"status": done.returncode, "stdout": plain(done.stdout), "stderr": done.stderr.count(b"Traceback")}
    out = folder / "out"
    found["files"] = {os.fspath(p.relative_to(out)): describe(p) for p in sorted(out.rglob("*")) if p.is_file()}
    for weights in out.glob("*/*.safetensors"):
        if "checkpoint" not in weights.name:
            shutil.copy(weights, folder / "weights")
    shutil.rmtree(out, ignore_errors=True)
    print(f"{name}: status {done.returncode}, {len(found['files'])} files", flush=True)
    return found


def plain(data: bytes) -> object:
    """Return records without the wording of messages; of what is none, its digest."""
    text = data.decode("utf-8", "surrogateescape")
    if text.startswith("path,"):
        rows = csv.DictReader(io.StringIO(text, newline=""))
        return [{key: value for key, value in row.items() if key not in WORDING} for row in rows]
    try:
        return [without_wording(json.loads(line)) for line in text.splitlines()]
    except ValueError:
        pass
    try:
        return without_wording(json.loads(text))
    except ValueError:
        return sha256(data).hexdigest() if b"\0" in data else text.splitlines()


def without_wording(value: Any) -> Any:
    """Return JSON without messages and notes; that there was one is kept."""
    if isinstance(value, dict):
        return {key: bool(v) if key in WORDING else without_wording(v) for key, v in value.items()}
    return [without_wording(v) for v in value] if isinstance(value, list) else value


def describe(path: Path) -> str:
    """Return the digest of a file; of weights, that of their tensors alone, as their header may say more."""
    if path.name in SKIPPED:
        return "written"
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        return describe_tensors(data)
    if path.name == "metrics.json":
        return json.dumps({key: value for key, value in json.loads(data).items() if key != "sha256"})
    return sha256(data).hexdigest()


def describe_tensors(data: bytes) -> str:
    """Return the digest of a safetensors file's tensors, whatever their names and order."""
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = [value for key, value in json.loads(data[8:start]).items() if key != "__metadata__"]
    parts = [data[start + begin : start + end] for begin, end in (tensor["data_offsets"] for tensor in tensors)]
    return sha256(b"".join(sorted(sha256(part).digest() for part in parts))).hexdigest()


def compare(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """Yield a line for each difference."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key not in before or key not in after:
                yield f"{where}/{key}: only {'after' if key in after else 'before'}"
            else:
                yield from compare(before[key], after[key], f"{where}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, pair in enumerate(zip(before, after, strict=True)):
            yield from compare(*pair, f"{where}/{i}")
    elif isinstance(before, float) and isinstance(after, float) and abs(before - after) < CLOSE:
        return
    elif before != after:
        yield f"{where}: {str(before)[:200]} became {str(after)[:200]}"


def main() -> None:
    """Record or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    recording = actions.add_parser("record")
    recording.add_argument("folder", type=Path, help="a new one")
    recording.add_argument("--inputs", type=Path, help="folder of a recording whose inputs are used again")
    recording.add_argument("--only", default="", help="commands whose name holds this word")
    comparing = actions.add_parser("compare")
    comparing.add_argument("folders", type=Path, nargs=2)
    args = parser.parse_args()
    if args.action == "record":
        data = Path(os.environ["ATTNIMG_DATA"]).resolve() if "ATTNIMG_DATA" in os.environ else None
        folder = args.folder.resolve()
        if args.inputs is not None:  # profiles among them hold the second in which they were made
            shutil.copytree(args.inputs, folder, ignore=shutil.ignore_patterns("results.json", "*.safetensors", "out"))
        else:
            folder.mkdir(parents=True)
            make_inputs(folder, data)
        commands = {**COMMANDS, **(DATA_COMMANDS if data else {})}
        results = {name: run(folder, name, words) for name, words in commands.items() if args.only in name}
        (folder / "results.json").write_text(json.dumps(results, indent=1, sort_keys=True))
        return
    before, after = (json.loads((folder / "results.json").read_text()) for folder in args.folders)
    differences = list(compare(before, after))
    print("\n".join(differences) or f"{len(before)} commands, no difference")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
