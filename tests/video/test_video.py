"""Videos: every frame anew at its own time, all else as it was, whole files or none."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.results import Run
from helpers.tiny_nets import ENHANCER, ENHANCER_HEADER
from PIL import Image

from attnimg.errors import ImageError
from attnimg.files.find import find
from attnimg.files.source import Counts
from attnimg.files.truncation import is_cut_short
from attnimg.files.walk import Walker
from attnimg.nets.enhancer.net import EnhancerNet as Net
from attnimg.predictors.enhance import Enhancer
from attnimg.predictors.exposure import make_thumbnail
from attnimg.predictors.restorer import Settings
from attnimg.predictors.temporal import TemporalEnhancer, is_cut

av = pytest.importorskip("av")
video = pytest.importorskip("attnimg.video.transcode")
video_job = pytest.importorskip("attnimg.jobs.enhance.video")
PictureType = av.video.frame.PictureType

TICKS = Fraction(1, 12_800)
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
SIZE = (64, 48)


def make(path: Path, *args, **options) -> Path:
    """Write a dark video at a variable rate (AVI: a fixed one) with sound, turned by 90 degrees where it can be."""
    path.write_bytes(make_bytes(path.suffix, *args, **options))
    return path


@cache
def make_bytes(
    extension: str,
    frames: int = 18,
    size: tuple[int, int] = SIZE,
    *,
    codec: str = "libx264",
    title: str = "Night",
    **codec_settings,
) -> bytes:
    rng = np.random.default_rng(0)
    fixed = extension == ".avi"
    ticks, data = Fraction(1, 25) if fixed else TICKS, io.BytesIO()
    with av.open(data, "w", format=FORMATS[extension]) as file:
        stream = file.add_stream("mpeg4" if fixed else codec, 25)
        stream.width, stream.height = size
        stream.time_base = stream.codec_context.time_base = ticks
        for name, value in codec_settings.items():
            setattr(stream.codec_context, name, value)
        if not fixed:
            stream.set_display_rotation(90)
        sound = file.add_stream("mp2" if fixed else "aac", 48_000, layout="stereo")
        file.metadata["title"] = title
        rows, columns = np.mgrid[: size[1], : size[0]]
        scene = np.dstack([40 + rows // 2, 60 + columns // 4, 90 - rows // 2])
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray((scene + rng.integers(0, 8)).astype(np.uint8), format="rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = i if fixed else i * 512 + i % 3 * 100, ticks
            file.mux(stream.encode(frame))
        waves = av.AudioFrame.from_ndarray(rng.normal(0, 8000, (1, 2 * 1152)).astype(np.int16), "s16", layout="stereo")
        for i in range(frames):
            waves.sample_rate, waves.pts, waves.time_base = 48_000, i * 1152, Fraction(1, 48_000)
            file.mux(sound.encode(waves))
        file.mux(stream.encode(None))
        file.mux(sound.encode(None))
    return data.getvalue()


def decode(path: Path) -> tuple[list[Fraction], list[np.ndarray]]:
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
        return [f.pts * f.time_base for f in frames], [f.to_ndarray(format="rgb24") for f in frames]


def packets(path: Path) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as file:
        return [(bytes(p), p.pts * p.time_base) for p in file.demux(audio=0) if p.size]


def transcode(source: Path, target: Path, enhance=lambda pixels, _: pixels):
    told: list[tuple[int, int | None]] = []
    made = video.transcode(
        source, target, enhance, lambda *progress: told.append(progress), extension=source.suffix, max_pixels=10**6
    )
    return made, told


@pytest.mark.parametrize("extension", FORMATS)
def test_times_sound_and_what_is_told_stay(extension: str, tmp_path: Path) -> None:
    source, target = make(tmp_path / f"in{extension}"), tmp_path / "out.tmp"
    made, told = transcode(source, target)
    (before, old), (after, new) = decode(source), decode(target)
    assert after == [t - before[0] for t in before] if extension == ".avi" else after == before
    assert len(set(np.diff([float(t) for t in before]).round(6))) > 1 or extension == ".avi"
    assert packets(target) == packets(source)
    assert np.abs(np.array(new, float) - old).mean() < 2
    assert abs(np.mean(np.array(new, float) - old)) < 1
    turned = extension != ".avi"
    assert (made.frames, made.size, made.note) == (18, SIZE[::-1] if turned else SIZE, None)
    assert told[-1][0] == 18
    with av.open(str(target)) as file:
        assert file.metadata["title"] == "Night"
        assert next(file.decode(video=0)).rotation == (90 if turned else 0)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5])
def test_colors_that_are_left_alone_are_described_and_decoded_as_before(
    matrix: int, full: bool, tmp_path: Path
) -> None:
    pix_fmt = "yuvj420p" if full else "yuv420p"
    source = make(tmp_path / "in.mp4", 4, pix_fmt=pix_fmt, colorspace=matrix, color_range=2 if full else 1)
    transcode(source, tmp_path / "out.mp4")
    old, new = np.array(decode(source)[1], float), np.array(decode(tmp_path / "out.mp4")[1], float)
    assert np.abs(new - old).mean((0, 1, 2)).max() < 2
    with av.open(str(tmp_path / "out.mp4")) as file:
        codec = file.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_range) == (matrix, 2 if full else 1)


@pytest.mark.parametrize("announced", [9, 21])
def test_the_count_of_frames_ends_with_those_that_there_are(
    announced: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "_estimate_frames", lambda *_: announced)
    _, told = transcode(make(tmp_path / "in.mkv"), tmp_path / "out.mkv")
    assert told[0] == (1, announced)
    assert told[-1] == (18, 18)
    assert all(done <= total for done, total in told)


def test_odd_sizes_stay(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mkv", 3, (65, 47), codec="ffv1")
    made, _ = transcode(source, tmp_path / "out.mkv")
    assert made.size == (47, 65)
    assert decode(tmp_path / "out.mkv")[1][0].shape == (47, 65, 3)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_what_is_cut_short_is_damaged(extension: str, share: float, tmp_path: Path) -> None:
    source = make(tmp_path / f"in{extension}")
    assert not is_cut_short(source)
    data = source.read_bytes()
    source.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError) as error:
        transcode(source, tmp_path / "out.tmp")
    assert error.value.kind == "damaged"


@pytest.mark.parametrize("extension", FORMATS)
def test_what_it_tells_in_other_letters_stays(extension: str, tmp_path: Path) -> None:
    source, target = make(tmp_path / f"in{extension}", title="Caf~"), tmp_path / "out.tmp"
    source.write_bytes(source.read_bytes().replace(b"Caf~", b"Caf\xe9"))
    transcode(source, target)
    with av.open(str(target), metadata_errors="surrogateescape") as file:
        assert file.metadata["title"].encode(errors="surrogateescape") == b"Caf\xe9"


def test_frames_that_an_avi_holds_in_another_order_keep_their_times(tmp_path: Path) -> None:
    source, times = tmp_path / "in.avi", []
    with av.open(str(source), "w") as file:
        stream = file.add_stream("libx264", 25, options={"bf": "3"})
        stream.width, stream.height = SIZE
        for i in range(30):
            pixels = np.full((SIZE[1], SIZE[0], 3), 40 + 4 * i, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        file.mux(stream.encode(None))
    with av.open(str(source)) as file:
        assert any(frame.pict_type == PictureType.B for frame in file.decode(video=0))
    transcode(source, tmp_path / "out.avi", lambda pixels, time: (times.append(time), pixels)[1])
    after, frames = decode(tmp_path / "out.avi")
    assert times == pytest.approx([i / 25 for i in range(30)])
    assert after == [Fraction(i, 25) for i in range(30)]
    assert np.all(np.diff([frame.mean() for frame in frames]) > 0)


@pytest.mark.parametrize(
    ("stored", "lost"),
    [
        ("yuv420p", None),
        ("yuva420p", "its transparency was removed"),
        ("yuv444p", "its colors are stored at half their resolution, as players expect"),
        ("bgr0", "its colors are stored at half their resolution, as players expect"),
        ("yuv420p10", "its 10 bits per color became 8"),
        ("gray", None),
    ],
)
def test_what_the_format_of_the_frames_cannot_hold_is_noted(stored: str, lost: str | None, tmp_path: Path) -> None:
    made, _ = transcode(make(tmp_path / "in.mkv", 2, codec="ffv1", pix_fmt=stored), tmp_path / "out.mkv")
    assert made.note == lost


def test_chapters_stay_and_a_track_that_looks_like_theirs_is_noted(tmp_path: Path) -> None:
    source, told, said = (tmp_path / f"{name}.mp4" for name in ("in", "told", "said"))
    chapter = {"id": 1, "start": 0, "end": 5, "time_base": Fraction(1, 10), "metadata": {"title": "Dusk"}}
    with av.open(str(make(source))) as old, av.open(str(told), "w") as file:
        streams = {stream.index: file.add_stream_from_template(stream, opaque=True) for stream in old.streams}
        file.set_chapters([chapter])
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                file.mux(packet)
    assert transcode(told, tmp_path / "out.mp4")[0].note is None
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert [chapter["metadata"]["title"] for chapter in file.chapters()] == ["Dusk"]
    # The titles' track as one of a camera's measurements, which nothing refers to.
    said.write_bytes(told.read_bytes().replace(b"chap", b"hint").replace(b"chpl", b"free").replace(b"text", b"gpmd"))
    assert "(data) was removed" in (transcode(said, tmp_path / "out.mp4")[0].note or "")


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    for name, content in {"empty": b"", "text": b"no video" * 99, "list": b"#EXTM3U\n#EXTINF:9,\nother.mp4\n"}.items():
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(content)
        with pytest.raises(ImageError) as error:
            transcode(path, tmp_path / "out.tmp")
        assert error.value.kind == "damaged"
    with pytest.raises(ImageError) as error:
        transcode(tmp_path / "gone.mp4", tmp_path / "out.tmp")
    assert error.value.kind == "missing"
    with pytest.raises(ImageError) as error:
        video.transcode(make(tmp_path / "in.mp4"), tmp_path / "out", None, None, extension=".mp4", max_pixels=SIZE[0])
    assert error.value.kind == "too-large"


@pytest.mark.slow
def test_nothing_flickers_and_a_cut_begins_anew() -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(10, 40, (48, 64, 3))
    noisy = [(scene * rng.uniform(0.98, 1.02) + rng.normal(0, 2, scene.shape)).clip(0, 255) for _ in range(24)]
    frames = [frame.astype(np.uint8) for frame in noisy]
    nervous = Enhancer(make_nervous_net(frames[0]), ENHANCER_HEADER, model="nervous", device="cpu")
    steady = TemporalEnhancer(nervous, Settings())
    alone = np.array([nervous(frame).mean() for frame in frames])
    smooth = np.array([steady(frame, i / 24).mean() for i, frame in enumerate(frames)])
    assert smooth[8:].std() < 0.5 * alone[8:].std()
    assert abs(smooth[-1] - alone.mean()) < 3 * alone.std()
    bright = (scene[::-1] * 5).astype(np.uint8)
    assert np.array_equal(steady(bright, 1.0), nervous(bright))


@pytest.mark.slow
def test_a_scene_that_fades_in_is_no_brighter_than_its_frames() -> None:
    scene = np.random.default_rng(0).integers(10, 90, (48, 64, 3))
    frames = [(scene * share).astype(np.uint8) for share in np.linspace(0.02, 1, 24)]
    torch.manual_seed(0)
    enhancer = Enhancer(Net(ENHANCER).eval(), ENHANCER_HEADER, model="calm", device="cpu")
    steady = TemporalEnhancer(enhancer, Settings())
    alone = np.array([enhancer(frame).mean() for frame in frames])
    smooth = np.array([steady(frame, i / 24).mean() for i, frame in enumerate(frames)])
    assert np.abs(smooth - alone).max() < 0.08 * 255


def make_nervous_net(usual: np.ndarray) -> Net:
    """Return a net with an exposure that depends on how a frame differs from the usual one, by far too much."""
    torch.manual_seed(0)
    net = Net(ENHANCER).eval()
    thumbnail = torch.from_numpy(make_thumbnail(usual, ENHANCER.thumbnail)).permute(2, 0, 1)[None]
    with torch.no_grad():
        context, judge = net.exposure(thumbnail).context, net.prior.logits
        judge.weight.normal_(std=200, generator=torch.Generator().manual_seed(0))
        judge.bias.sub_(judge(context)[0])
    return net


def test_a_cut_is_told_by_its_share_of_the_brightness() -> None:
    rng = np.random.default_rng(0)
    scene = rng.uniform(0, 0.2, (32, 32, 3)).astype(np.float32)
    assert not is_cut(scene, scene * 1.3)
    assert not is_cut(scene, np.roll(scene, 0, 1) + np.float32(0.02))
    assert is_cut(scene, rng.permutation(scene.reshape(-1, 3)).reshape(scene.shape))
    assert is_cut(scene, scene * 3)
    assert not is_cut(scene * 0.001, scene[::-1] * 0.001)


def test_what_a_track_needs_is_not_stripped(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("ffv1", 25, pix_fmt="yuv420p")
        stream.width, stream.height = SIZE
        stream.metadata.update(language="deu", title="Night")
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame(*SIZE, "yuv420p")))
        file.mux(stream.encode(None))
    video.transcode(
        source, target, lambda pixels, _: pixels, lambda *_: None, extension=".mkv", max_pixels=10**6, strip=True
    )
    with av.open(str(target)) as file:
        told = file.streams.video[0].metadata
        assert told["language"] == "deu"
        assert "title" not in told


def test_videos_count_when_named_or_asked_for(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.mp4", "c.MOV", "d.txt", "sub/e.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\xff\xd8\xff" if name == "a.jpg" else b"?")

    def names(*inputs: Path, **rules: bool) -> list[str]:
        counts = Counts()
        found = [s.relative.as_posix() for s in find(inputs, Walker(counts=counts, **rules))]
        return [*found, f"{counts.passed_over} passed over"]

    assert names(tmp_path) == ["a.jpg", "4 passed over"]
    assert names(tmp_path, videos=True) == ["a.jpg", "b.mp4", "c.MOV", "sub/e.mkv", "1 passed over"]
    assert names(tmp_path / "b.mp4") == ["b.mp4", "0 passed over"]
    assert names(tmp_path / "*.mp4") == ["b.mp4", "0 passed over"]
    assert names(tmp_path / "*") == ["a.jpg", "4 passed over"]


@pytest.mark.slow
def test_the_command_takes_videos_among_photos(run: Run, night: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(np.full((48, 64, 3), 30, np.uint8)).save(folder / "a.png")
    source = make(folder / "b.mp4")
    os.utime(source, (1e9, 1e9))
    (folder / "c.mp4").write_bytes(source.read_bytes()[:-3000])

    status, printed, said = run("enhance", folder, "-o", out, "--model", night)
    assert (status, len(printed.splitlines())) == (0, 1)
    assert "2 passed over" in said

    status, printed, _ = run("enhance", folder, "-o", out, "--model", night, "--video", "--skip-existing", "--overlay")
    photo, whole, cut = map(json.loads, printed.splitlines())
    assert status == 1
    assert photo["skipped"]
    assert whole == {
        "path": str(source), "output": str(out / "b.mp4"), "model": "dim", "width": 48, "height": 64, "frames": 18,
    }  # fmt: skip
    assert cut["error"]["kind"] == "damaged"
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "b.mp4"]
    assert (out / "b.mp4").stat().st_mtime == 1e9
    assert np.mean(decode(out / "b.mp4")[1]) > np.mean(decode(source)[1]) + 10


@pytest.mark.parametrize("what", ["touched", "gone"])
def test_a_video_that_changes_meanwhile(
    what: str, run: Run, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "b.mp4", 3)

    def transcode_what_changes(*args, **options):
        made = video.transcode(*args, **options)
        source.unlink() if what == "gone" else os.utime(source, (5, 5))
        return made

    os.utime(source, (1e9, 1e9))
    monkeypatch.setattr(video_job, "transcode", transcode_what_changes)
    status, printed, _ = run("enhance", source, "-o", tmp_path / "out", "--model", night)
    if what == "gone":
        assert status == 0
        assert (tmp_path / "out/b.mp4").stat().st_mtime == 1e9
    else:
        assert (status, json.loads(printed)["error"]["kind"]) == (1, "unreadable")
        assert not list((tmp_path / "out").iterdir())


def test_names_of_single_videos(run: Run, night: Path, tmp_path: Path) -> None:
    source = make(tmp_path / "b.mp4", 3)
    Image.new("RGB", SIZE).save(tmp_path / "a.png")
    status, printed, _ = run("enhance", source, "-o", tmp_path / "new.mp4", "--model", night)
    assert (status, json.loads(printed)["output"]) == (0, str(tmp_path / "new.mp4"))
    for given, output in ((source, "new.mkv"), (tmp_path / "a.png", "c.mp4")):
        status, printed, _ = run("enhance", given, "-o", tmp_path / output, "--model", night)
        assert (status, json.loads(printed)["error"]["kind"]) == (1, "unsupported")
    status, _, said = run("enhance", source, "-o", "-", "--model", night)
    assert status == 2
    assert "a video needs a file" in said


def test_without_pyav_named_videos_say_what_to_install(
    run: Run, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "in.mp4", 2)
    monkeypatch.setitem(sys.modules, "av", None)
    status, _, said = run("enhance", source, "-o", tmp_path / "out", "--model", night)
    assert status == 4
    assert "attnimg[video]" in said


@pytest.mark.slow
def test_ctrl_c_ends_at_once_and_leaves_nothing(night: Path, tmp_path: Path) -> None:
    source, out = make(tmp_path / "in.mp4", 300, (240, 180)), tmp_path / "out"
    command = [sys.executable, "-m", "attnimg", "enhance", source, "-o", out, "--model", night, "--device", "cpu"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out.is_dir() and any(out.iterdir())) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert list(out.iterdir()) == []
