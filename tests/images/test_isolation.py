"""Decoding in child processes: the pictures of `read`, and what hangs, crashes or wants too much costs one image."""

from __future__ import annotations

import io
import os
import select
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest
from PIL import Image

from attnimg.errors import ImageError, Unavailable
from attnimg.files.source import Source
from attnimg.images.decoded import DecodedImage
from attnimg.images.isolation.pool import IsolatedReader
from attnimg.images.read import read

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system has no /proc")

RNG = np.random.default_rng(0)


def photo(seed: int = 0, width: int = 160, height: int = 120) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 4), dtype=np.uint8)
    return Image.fromarray(cv2.resize(small, (width, height)))


def encode(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def deep_png() -> bytes:
    return cv2.imencode(".png", RNG.integers(0, 65536, (200, 300, 4), dtype=np.uint16))[1].tobytes()


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(photo(0, 640, 480).convert("RGB"), "JPEG", exif=exif, icc_profile=b"broken")


FILES = {
    "turned.jpg": turned_jpeg(),
    "gray.jpg": encode(photo().convert("L"), "JPEG", xmp=b"<x/>"),
    "clear.webp": encode(photo(0, 400, 300), "WEBP", lossless=True),
    "deep.png": deep_png(),
    "pages.tiff": encode(photo().convert("RGB"), "TIFF", save_all=True, append_images=[photo(1).convert("RGB")]),
    "tiny.gif": encode(photo(0, 1, 1).convert("RGB"), "GIF"),
}


def assert_same(picture: DecodedImage, expected: DecodedImage) -> None:
    for one, other in ((picture.pixels, expected.pixels), (picture.alpha, expected.alpha)):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.dtype == other.dtype
            assert np.array_equal(one, other)
            assert one.flags.c_contiguous == other.flags.c_contiguous
            assert one.flags.writeable
    for name in ("size", "format", "metadata", "note", "lossless", "gray"):
        assert getattr(picture, name) == getattr(expected, name), name


def source(path: Path | str) -> Source:
    return Source(str(path), PurePath("x"))


def pid_of(reader: IsolatedReader) -> int:
    process = reader._children[0]._process
    assert process is not None
    return process.pid


def lives(pid: int) -> bool:
    """Tell whether a process runs still; one that nobody has asked for its status yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def good(tmp_path: Path) -> Source:
    (tmp_path / "good.png").write_bytes(FILES["deep.png"])
    return source(tmp_path / "good.png")


class Hang:
    """A file whose reader hangs: a named pipe that was given one byte and stays open."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.pipe = os.open(path, os.O_RDWR)
        os.write(self.pipe, b"x")
        self.source = source(path)

    def wait_until_read(self) -> None:
        until = time.monotonic() + 30
        while select.select([self.pipe], [], [], 0)[0]:
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.fixture
def hang(tmp_path: Path) -> Iterator[Hang]:
    hang = Hang(tmp_path / "hangs.jpg")
    yield hang
    os.close(hang.pipe)


@pytest.fixture(scope="module")
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader(2, timeout=60) as reader:
        yield reader


@pytest.mark.parametrize("name", FILES)
def test_pictures_are_those_of_read(name: str, reader: IsolatedReader, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    for given in (source(tmp_path / name), Source("-", PurePath("x"), data=FILES[name])):
        assert_same(reader.read(given), read(given))
        assert_same(reader.read(given, shortest=60), read(given, shortest=60))


def test_errors_are_those_of_read(tmp_path: Path) -> None:
    contents = {"cut.jpg": FILES["turned.jpg"][:3000], "empty.png": b"", "note.txt": b"Dear diary", "big": deep_png()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = Source("x", PurePath("x"), error=ImageError("unreadable", "Found while looking."))
    with IsolatedReader(1, timeout=60, max_pixels=50_000) as reader:
        for given in (*(source(tmp_path / name) for name in (*contents, "gone.jpg", "")), found):
            with pytest.raises(ImageError) as expected:
                read(given, max_pixels=50_000)
            with pytest.raises(ImageError) as caught:
                reader.read(given)
            assert (caught.value.kind, caught.value.message) == (expected.value.kind, expected.value.message)


def test_a_pipe_of_the_shells_is_the_same_one_there(reader: IsolatedReader) -> None:
    output, input_ = os.pipe()
    os.write(input_, FILES["tiny.gif"])
    os.close(input_)
    picture = reader.read(source(f"/dev/fd/{output}"))
    os.close(output)
    assert picture.format == "GIF"


def test_a_bug_there_costs_one_image_and_is_told_of(reader: IsolatedReader) -> None:
    with pytest.raises(ImageError, match=r"a bug of attnimg.*TypeError") as caught:
        reader.read(Source("x", PurePath("x"), data=5))  # type: ignore[arg-type]
    assert caught.value.kind == "damaged"


FORGED = {
    "a call": "parts(pickle.dumps(Call()))",
    "a class that is not ours": "parts(pickle.dumps(pathlib.PurePath('x')))",
    "a class of ours": "parts(b'cattnimg.images.isolation.protocol\\nFailure\\n.')",
    "a probe": "parts(pickle.dumps(('probe', 'JPEG', 7)))",
    "a probe of no format": "parts(pickle.dumps(('probe', 'ELF', 7)))",
    "a number": "parts(pickle.dumps(('value', 7)))",
    "nothing": "parts(pickle.dumps(None))",
    "a picture of nothing": "parts(pickle.dumps(('image', *[None] * 9)))",
    "an error of no kind": "parts(pickle.dumps(('failure', 'nonsense', 'boo')))",
    "an array of objects": "parts(pickle_array('object', (1,)), bytes(8))",
    "an array too large for its bytes": "parts(pickle_array('uint8', (1 << 40,)), b'x')",
    "an array that did not come": "parts(pickle_array('uint8', (1,)))",
    "no pickle": "parts(b'x' * 100)",
    "too many parts": "struct.pack('!Q', (1 << 64) - 1)",
    "a part larger than any": "struct.pack('!2Q', 1, (1 << 64) - 1)",
}
FORGER = """
import io, os, pathlib, pickle, socket, struct
class Call:
    def __reduce__(self):
        return os.mkdir, ({path!r},)
class Array:
    def __init__(self, *said): self.said = said
class Pickler(pickle.Pickler):
    def persistent_id(self, value): return value.said if isinstance(value, Array) else None
def pickle_array(*said):
    stream = io.BytesIO()
    Pickler(stream).dump(Array(*said))
    return stream.getvalue()
def parts(*given):
    return struct.pack(f"!{{1 + len(given)}}Q", len(given), *map(len, given)) + b"".join(given)
connection = socket.socket(fileno=0)
connection.sendall(b"r")
connection.recv(1)
connection.sendall({answer})
connection.recv(1 << 20)
connection.recv(1)
"""


@pytest.mark.parametrize("answer", FORGED)
def test_a_decoder_that_was_taken_over_cannot_reach_us(answer: str, good: Source, tmp_path: Path) -> None:
    path = tmp_path / "reached"
    program = FORGER.format(path=str(path), answer=FORGED[answer])
    with IsolatedReader(1, timeout=20, program=program) as reader, pytest.raises(ImageError, match="hostile") as caught:
        reader.read(good)
    assert caught.value.kind == "damaged"
    assert not path.exists()


@needs_proc
def test_children_hold_no_torch_and_want_no_terminal(reader: IsolatedReader, good: Source) -> None:
    reader.read(good)
    assert "torch" not in Path(f"/proc/{pid_of(reader)}/maps").read_text()
    assert os.getpgid(pid_of(reader)) != os.getpgid(0)


@pytest.mark.slow
def test_a_hang_costs_one_image(hang: Hang, good: Source) -> None:
    with IsolatedReader(1, timeout=1) as reader:
        for _ in range(2):
            with pytest.raises(ImageError, match="over 1 seconds") as caught:
                reader.read(hang.source)
            assert caught.value.kind == "timeout"
        assert_same(reader.read(good), read(good))


@pytest.mark.slow
@needs_proc
def test_a_crash_costs_one_image(hang: Hang, good: Source, capfd) -> None:
    kinds = {signal.SIGSEGV: "damaged", signal.SIGABRT: "damaged", signal.SIGKILL: "out-of-memory"}
    with IsolatedReader(1) as reader, ThreadPoolExecutor(1) as pool:
        for number, kind in kinds.items():
            failure = pool.submit(reader.read, hang.source)
            hang.wait_until_read()
            os.kill(pid_of(reader), number)
            error = failure.exception(30)
            assert isinstance(error, ImageError)
            assert error.kind == kind
            assert kind != "damaged" or str(signal.strsignal(number)) in error.message
            os.write(hang.pipe, b"x")
        assert_same(reader.read(good), read(good))
        os.kill(pid_of(reader), signal.SIGKILL)  # it idles: no image is to pay
        time.sleep(0.1)
        assert_same(reader.read(good), read(good))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_many_threads_get_each_its_own(hang: Hang, tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.webp" for seed in range(60)]
    for seed, path in enumerate(paths):
        path.write_bytes(encode(photo(seed, 20 + seed, 200), "WEBP", lossless=True))
    given = [hang.source if i % 50 == 20 else source(path) for i, path in enumerate(paths)]
    with IsolatedReader(2, timeout=2) as reader, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(reader.read, one) for one in given]
    for one, answer in zip(given, answers, strict=True):
        if one is hang.source:
            error = answer.exception()
            assert isinstance(error, ImageError)
            assert error.kind == "timeout"
        else:
            assert_same(answer.result(), read(one))


@pytest.mark.slow
@needs_proc
def test_leaving_ends_what_hangs_and_what_waits(hang: Hang) -> None:
    with ThreadPoolExecutor(3) as pool:
        with IsolatedReader(1) as reader:
            failures = [pool.submit(reader.read, hang.source) for _ in range(3)]
            hang.wait_until_read()
            pid = pid_of(reader)
        kinds = [getattr(failure.exception(30), "kind", None) for failure in failures]
    assert kinds == ["interrupted"] * 3
    assert not lives(pid)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits it")
def test_who_wants_half_of_the_memory_is_refused_it() -> None:
    pixels = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4  # of 4 bytes each, and none is touched

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 1 << 16, pixels >> 16, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with IsolatedReader(1, timeout=60, max_pixels=pixels) as reader, pytest.raises(ImageError) as caught:
        reader.read(Source("-", PurePath("x"), data=bomb))
    assert caught.value.kind == "out-of-memory"


PROGRAM = """
import sys
from pathlib import PurePath
from attnimg.files.source import Source
from attnimg.images.isolation.pool import IsolatedReader
with IsolatedReader(2) as reader:
    print(*(child._process.pid for child in reader._children), flush=True)
    try:
        reader.read(Source(sys.argv[1], PurePath("x")))
    except KeyboardInterrupt:
        print("interrupted")
"""


def start(hang: Hang) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, hang.source.path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


@pytest.mark.slow
@needs_proc
def test_no_child_outlives_its_parent(hang: Hang) -> None:
    with start(hang) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        hang.wait_until_read()
        assert all(map(lives, pids))
        parent.kill()
        assert parent.stderr
        assert parent.stderr.read() == b""
    until = time.monotonic() + 10
    while any(map(lives, pids)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(lives, pids))


@pytest.mark.slow
@pytest.mark.parametrize("warm", [True, False])
def test_ctrl_c_is_the_parents_alone(warm: bool, hang: Hang) -> None:
    with start(hang) as parent:
        assert parent.stdout
        parent.stdout.readline()
        if warm:
            hang.wait_until_read()
        else:
            time.sleep(0.05)  # so that the parent asks already
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.communicate(timeout=30) == (b"interrupted\n", b"")


@pytest.mark.parametrize("program", ["/bin/false", "/no/python"])
def test_without_children_it_says_so(program: str, good: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(Unavailable, match="Leave out --isolate"), IsolatedReader(1) as reader:
        reader.read(good)
