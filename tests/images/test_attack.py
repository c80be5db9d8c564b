"""Hostile files: each becomes a whole picture, or an `ImageError` with one sentence, soon and in little memory."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path, PurePath

import numpy as np
import pytest
from helpers.attack_bombs import IMPOSTORS, bombs
from helpers.attack_corpus import encode, make_seeds, mutants, mutate
from helpers.paths import TESTS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from attnimg.errors import KINDS, ImageError
from attnimg.files.source import Source
from attnimg.images.backends import configure
from attnimg.images.probe import probe
from attnimg.images.read import read

# pytest shows warnings whatever the filters say; that users see none is what the process of its own is for.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

MUTANTS = 2200
MOST_PIXELS = 20_000_000  # of mutants: damage sets sizes, too, and what is large may take its time
SECONDS = 10  # of the processor, for one file on a slow one
BYTES = 2 * 10**9
SHORTEST = (None, 8)
SEEDS = make_seeds()
CONTENTS = sorted(SEEDS.values())


def from_bytes(data: bytes) -> Source:
    return Source("-", PurePath("x"), data=data)


def outcome(source: Source, **options: int | None) -> str:
    """Probe and read, and check what comes of it; returns "ok" or the kind of the error."""
    probed = probe(source)
    try:
        picture = read(source, **options)
    except ImageError as error:
        check_error(error)
        return error.kind
    height, width, channels = picture.pixels.shape
    assert (height > 0, width > 0, channels) == (True, True, 3)
    assert picture.pixels.dtype in (np.uint8, np.uint16)
    assert picture.alpha is None or picture.alpha.shape == (height, width)
    assert picture.alpha is None or picture.alpha.dtype == picture.pixels.dtype
    assert picture.size == (width, height) or options.get("shortest")
    assert picture.size[0] >= width
    assert picture.note is None or picture.note.isprintable()
    pixels = picture.size[0] * picture.size[1]
    assert probed.format == picture.format
    is_cropped = picture.format == "HEIF"
    assert probed.pixels == pixels or (is_cropped and (probed.pixels is None or probed.pixels > pixels))
    metadata = picture.metadata
    assert all(part is None or isinstance(part, bytes) for part in (metadata.icc, metadata.exif, metadata.xmp))
    return "ok"


def check_error(error: ImageError) -> None:
    assert error.kind in KINDS
    assert error.message.isprintable(), error.message
    assert error.message.endswith(".")
    assert len(error.message) < 300


def attack() -> None:
    """The part that runs in a process of its own: read all, and print what came of it."""
    configure()  # as the command line does: nothing is to be printed
    kinds: Counter[str] = Counter()
    slowest, wrong = (0.0, ""), []
    files = [(name, data, MOST_PIXELS, None) for name, data in mutants(MUTANTS, seed=0)]
    for name, data, most, expected in [*files, *((name, data, None, kinds) for name, data, kinds in bombs())]:
        for shortest in SHORTEST:
            start = time.process_time()
            options = {"shortest": shortest} | ({} if most is None else {"max_pixels": most})
            try:
                kind = outcome(from_bytes(data), **options)
                assert expected is None or kind in expected, f"{kind}, not {expected}"
                kinds[kind] += 1
            except Exception as error:  # noqa: BLE001 - the parent tells of it
                wrong.append(f"{name}, {shortest}: {type(error).__name__} {error}")
            slowest = max(slowest, (time.process_time() - start, name))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    sys.stdout.write(json.dumps({"kinds": kinds, "slowest": slowest, "wrong": wrong, "peak": peak}))


@pytest.mark.slow
def test_two_thousand_hostile_files() -> None:
    code = "import sys; sys.path[:0] = sys.argv[1:]; import test_attack; test_attack.attack()"
    command = [sys.executable, "-c", code, TESTS / "images", TESTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["slowest"][0] < SECONDS
    assert found["peak"] < BYTES
    assert sum(found["kinds"].values()) >= 2 * MUTANTS
    assert set(found["kinds"]) == {"ok", "damaged", "unsupported", "too-large"}
    assert min(found["kinds"]["ok"], found["kinds"]["damaged"]) > MUTANTS / 4


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(CONTENTS), st.integers(0, 2**32 - 1), st.sampled_from(SHORTEST))
def test_damage_of_any_kind(data: bytes, seed: int, shortest: int | None) -> None:
    damaged = mutate(data, CONTENTS, np.random.default_rng(seed))
    outcome(from_bytes(damaged), shortest=shortest, max_pixels=MOST_PIXELS)


edits = st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40))


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(CONTENTS), st.lists(edits, min_size=1, max_size=6))
def test_edits_of_any_kind(data: bytes, edits: list[tuple[float, int, bytes]]) -> None:
    for place, removed, added in edits:
        at = int(place**2 * len(data))  # more often where the header is
        data = data[:at] + added + data[at + removed :]
    outcome(from_bytes(data), max_pixels=MOST_PIXELS)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.sampled_from([data[:64] for data in CONTENTS]), st.integers(2, 64), st.binary(max_size=300))
def test_anything_behind_a_signature(head: bytes, kept: int, rest: bytes) -> None:
    outcome(from_bytes(head[:kept] + rest), max_pixels=MOST_PIXELS)


@pytest.mark.parametrize("kind", IMPOSTORS)
@pytest.mark.parametrize("name", ["x.jpg", "x.png", "x.tif"])
def test_what_is_no_image_under_an_images_name(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(IMPOSTORS[kind])
    assert outcome(Source(str(tmp_path / name), PurePath(name))) == "unsupported"


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "empty.png").touch()
    expected = {"folder.jpg": "unreadable", "zero.png": "unsupported", "loop.png": "unreadable", "empty.png": "damaged"}
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket has to be short
        server.bind("socket.jpg")
        os.chdir(here)
        kinds = {path.name: outcome(Source(str(path), PurePath(path.name))) for path in tmp_path.iterdir()}
    assert kinds == {**expected, "socket.jpg": "unreadable"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["webp", "avif", "png"])
def test_a_terabyte_of_nothing_is_not_read_whole(tmp_path: Path, name: str) -> None:
    head = {"webp": SEEDS["lossy.webp"], "avif": SEEDS["photo.avif"], "png": SEEDS["rgb.png"][:33] + b"\x7f\0\0\0abCd"}
    path = tmp_path / f"x.{name}"
    path.write_bytes(head[name])
    os.truncate(path, 1 << 40)
    start = time.process_time()
    assert outcome(Source(str(path), PurePath("x"))) == "too-large"
    assert time.process_time() - start < SECONDS


def write_to(path: Path, data: bytes, times: int, ended: list[bool]) -> None:
    try:
        with path.open("wb", buffering=0) as pipe:
            for _ in range(times):
                pipe.write(data)
    except BrokenPipeError:
        ended.append(True)


@pytest.mark.parametrize(("data", "times", "kind"), [(b"", 0, "damaged"), (b"y\n" * 9999, 10**9, "unsupported")])
def test_a_named_pipe_that_brings_no_image(tmp_path: Path, data: bytes, times: int, kind: str) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    ended: list[bool] = []
    writer = threading.Thread(target=write_to, args=(tmp_path / "x.jpg", data, times, ended))
    writer.start()
    assert outcome(Source(str(tmp_path / "x.jpg"), PurePath("x.jpg"))) == kind
    writer.join(10)
    assert ended == [True] * bool(times)


def test_a_named_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (900, 1000, 3), np.uint8)
    os.mkfifo(tmp_path / "x")
    writer = threading.Thread(target=write_to, args=(tmp_path / "x", encode(Image.fromarray(photo), "PNG"), 1, []))
    writer.start()
    picture = read(Source(str(tmp_path / "x"), PurePath("x")))
    writer.join()
    assert np.array_equal(picture.pixels, photo)


@pytest.mark.parametrize("change", ["grown", "cut", "rewritten"])
@pytest.mark.parametrize("name", ["rgb.png", "plain.jpg", "deep.tif"])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, change: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = tmp_path / name, SEEDS[name]
    path.write_bytes(data)
    os.utime(path, (1, 1))
    open_image = ImageFile.ImageFile.__init__

    def open_and_change(*args: object, **options: object) -> None:
        open_image(*args, **options)
        path.write_bytes({"grown": data + b"\0", "cut": data[:200], "rewritten": data}[change])

    assert outcome(Source(str(path), PurePath(name))) == "ok"
    monkeypatch.setattr(ImageFile.ImageFile, "__init__", open_and_change)
    with pytest.raises(ImageError, match="changed while it was read") as caught:
        read(Source(str(path), PurePath(name)))
    assert caught.value.kind == "unreadable"


def test_a_file_that_is_replaced_while_it_is_read_is_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, open_image = tmp_path / "x.png", ImageFile.ImageFile.__init__
    path.write_bytes(SEEDS["rgb.png"])
    old = read(Source(str(path), PurePath("x")))

    def replace_and_open(*args: object, **options: object) -> None:
        (tmp_path / "new").write_bytes(SEEDS["one.png"])
        (tmp_path / "new").replace(path)
        open_image(*args, **options)

    monkeypatch.setattr(ImageFile.ImageFile, "__init__", replace_and_open)
    assert np.array_equal(read(Source(str(path), PurePath("x"))).pixels, old.pixels)
