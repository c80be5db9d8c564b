"""Transcoding of videos: frames are replaced one by one; time stamps, sound, subtitles and metadata are kept.

Memory is bounded for videos of any length. PyAV (https://pyav.basswood-io.com), an extra, decodes and encodes. The
codec is H.264 for MP4, MOV and MKV (some builds of PyAV lack it), and MPEG-4 for AVI, which cannot store H.264's time
stamps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, cast

import av
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from attnimg.errors import ImageError
from attnimg.files.formats import VIDEO_CONTAINERS
from attnimg.files.truncation import is_cut_short
from attnimg.images.limits import RESTORE
from attnimg.images.pixels import Pixels
from attnimg.video.frames import Frames

H264: Final = "libx264"
_DEMUXERS = "mov,matroska,avi"  # no others: playlist formats would open other files
_CRF = "16"  # H.264's losses are hardly visible from 18 downwards
_QUANTIZER = 2  # of MPEG-4; 1 makes files larger without a visible gain
_COPIED = ("audio", "subtitle", "attachment", "video")
_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}
_OF_TRACKS = {"language", "filename", "mimetype"}  # metadata that a track cannot be used without


@dataclass(frozen=True, slots=True)
class Video:
    """The result of transcoding. size: (width, height) of a frame, upright. note: losses that users should know of."""

    frames: int
    size: tuple[int, int]
    note: str | None


def transcode(
    source: Path,
    target: Path,
    enhance_frame: Callable[[Pixels, float], Pixels],
    watch: Callable[[int, int | None], object],
    *,
    extension: str,
    max_pixels: int,
    strip: bool = False,
) -> Video:
    """Write a copy of a video with all frames replaced. Frames are processed one by one, on the calling thread.

    enhance_frame: function of a frame, H x W x 3 uint8 RGB, and its time in seconds, which increases; returns a frame
    of the same shape. watch: callback with the number of frames done and their total (None: unknown). extension: .mp4,
    .mov, .mkv or .avi. max_pixels: limit on the pixels of a frame. strip: whether to remove metadata such as place,
    time and titles.

    Raises ImageError of kinds missing, unreadable, damaged, unsupported, too-large, write-failed; OSError: `target`
    cannot be written. A partial file may be left.
    """
    with _reading():
        if is_cut_short(source):
            raise ImageError("damaged", f"The file is truncated. {RESTORE}")
        reader = _open(source, "r", {"format_whitelist": _DEMUXERS})
    with reader:
        main = _choose_stream(reader, max_pixels)
        items = _read(reader, main)
        early: list[Packet[Stream] | VideoFrame] = []  # items before the first frame, which sets the output format
        while not isinstance(first := next(items, None), VideoFrame):
            if first is None:
                raise ImageError("damaged", f"It holds no frame that can be decoded. {RESTORE}")
            early.append(first)
        told = {} if strip else {key: value for key, value in reader.metadata.items() if key not in _OF_THE_FILE}
        # Keys with dots are written by Apple's devices, into a separate table.
        options = {"movflags": "use_metadata_tags"} if any("." in key for key in told) else {}
        total = main.frames or _estimate_frames(reader, main)
        done = 0
        with _writing(), _open(target, "w", options, VIDEO_CONTAINERS[extension]) as file:
            writer = _Writer(file, reader, main, first, strip=strip)
            file.metadata.update(told)
            for item in chain(early, [first], items):
                if isinstance(item, VideoFrame):
                    pixels, pts = writer.frames.decode(item), writer.place(item)
                    writer.write(enhance_frame(pixels, float(pts * writer.time_base)), pts, item.duration)
                    done += 1
                    watch(done, total and max(done, total))
                else:
                    writer.copy(item)
            writer.finish()
        watch(done, done)  # the container's count, or the estimate, may have been wrong
    size = (first.height, first.width) if first.rotation % 180 else (first.width, first.height)
    return Video(done, size, "; ".join(writer.notes) or None)


def _open(path: Path, mode: Literal["r", "w"], options: dict[str, str], format: str | None = None) -> Any:
    # "file:", as a name may look like a URL of another protocol. Metadata may be in any encoding.
    return av.open(f"file:{os.fspath(path)}", mode, format, options, metadata_errors="surrogateescape")


def _choose_stream(reader: InputContainer, max_pixels: int) -> VideoStream:
    stream = reader.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise ImageError("damaged", f"It holds no video. {RESTORE}")
    if stream.codec_context is None:
        raise ImageError("unsupported", "PyAV does not support its codec. Convert it to H.264.")
    if stream.width * stream.height > max_pixels:
        size = f"{stream.width} x {stream.height}"
        raise ImageError("too-large", f"Its frames have {size} pixels. Raise --max-pixels, now {max_pixels}.")
    stream.thread_type = "AUTO"
    return stream


def _estimate_frames(reader: InputContainer, stream: VideoStream) -> int | None:
    return round(Fraction(reader.duration or 0, av.time_base) * (stream.average_rate or 0)) or None


def _read(reader: InputContainer, main: VideoStream) -> Iterator[Packet[Stream] | VideoFrame]:
    """Yield the frames of `main` and the packets of the other streams, in the order of the file."""
    with _reading():
        for packet in reader.demux():
            if packet.is_corrupt:
                raise ImageError("damaged", f"Part of the file is missing. {RESTORE}")
            if packet.stream.index == main.index:
                yield from main.decode(packet)
            elif packet.size:  # the packet that ends a stream is empty
                yield packet


class _Writer:
    """Writes the output file. All streams are added first, as containers require it.

    first: the first frame; its colors, size and rotation apply to all. frames: decoder and encoder of frames.
    time_base: seconds per tick of the frames' time stamps. notes: properties and tracks that were lost.
    """

    def __init__(
        self, file: OutputContainer, reader: InputContainer, main: VideoStream, first: VideoFrame, *, strip: bool
    ) -> None:
        self.notes: list[str] = []
        self._file = file
        # AVI has no time stamps except frame numbers. PyAV returns them as `dts`; its `pts` belong to other frames. An
        # apparent later start is the decoder's delay.
        self._numbered = file.format.name == "avi"
        start = self._stamp(first) or 0
        self._start, self._next = (start, 0) if self._numbered else (0, start)
        self._streams: dict[int, Stream] = {}
        self._chapters = reader.chapters()
        for stream in reader.streams:
            made = self._add_main(main, first) if stream.index == main.index else self._add_copy(stream)
            if made is not None:
                self._streams[stream.index] = made
                made.disposition = stream.disposition
                told = {key: value for key, value in stream.metadata.items() if not strip or key in _OF_TRACKS}
                made.metadata.clear()  # copied from the template
                made.metadata.update(told)
        file.set_chapters([] if strip else self._chapters)

    def _add_main(self, main: VideoStream, first: VideoFrame) -> VideoStream:
        rate = main.average_rate or main.guessed_rate
        if self._file.format.name == "avi":
            made = self._file.add_stream("mpeg4", rate)
            made.codec_context.qmin = made.codec_context.qmax = _QUANTIZER
            self.frames = Frames(first, "yuv420p", described=False)
        else:
            made = self._file.add_stream(H264, rate, options={"crf": _CRF})
            odd = first.width % 2 or first.height % 2  # colors cannot be halved in odd sizes
            self.frames = Frames(first, "yuv444p" if odd else "yuv420p", described=True)
        self.frames.describe(made.codec_context)
        self.time_base = made.time_base = made.codec_context.time_base = first.time_base or Fraction(1, 1000)
        made.codec_context.flags |= Flags.frame_duration
        if main.sample_aspect_ratio:
            made.codec_context.sample_aspect_ratio = main.sample_aspect_ratio
        if matrix := cast("Mapping[str, Any]", first.side_data).get("DISPLAYMATRIX"):
            made.set_display_matrix(memoryview(matrix).cast("i"))
        self.notes += self.frames.name_losses()
        self._video = made
        return made

    def _add_copy(self, stream: Stream) -> Stream | None:
        if stream.name == "bin_data" and stream.frames == len(self._chapters) > 0:  # chapters are written separately
            return None
        if stream.type not in _COPIED or (stream.codec_context is None and stream.type != "attachment"):
            self.notes.append(f"its track {stream.index} ({stream.type}) was removed, as its type is not supported")
            return None
        try:
            return self._file.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            reason = f"Its {stream.type} ({stream.name}) cannot be written into this container."
            raise ImageError("unsupported", f"{reason} Convert the video to MKV, which takes all types.") from error

    def place(self, frame: VideoFrame) -> int:
        """Return the output time stamp of the next frame. It always increases, even if those of the file do not."""
        stamp = self._stamp(frame)
        pts = self._next if stamp is None else max(self._next, stamp - self._start)
        self._next = pts + 1
        return pts

    def _stamp(self, frame: VideoFrame) -> int | None:
        return frame.dts if self._numbered or frame.pts is None else frame.pts

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        """Encode H x W x 3 pixels. pts, duration: time stamp and duration in ticks."""
        frame = self.frames.encode(pixels)
        frame.pts, frame.time_base, frame.duration = pts, self.time_base, duration
        self._file.mux(self._video.encode(frame))

    def copy(self, packet: Packet[Stream]) -> None:
        """Copy a packet of another stream unchanged."""
        if stream := self._streams.get(packet.stream.index):
            if packet.dts is None:  # of a cover image
                packet.pts = packet.dts = 0
            packet.stream = stream
            self._file.mux(packet)

    def finish(self) -> None:
        """Flush the encoder."""
        self._file.mux(self._video.encode(None))


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError("missing", "There is no such file, or it is a broken link. Check the path.") from error
    except av.InvalidDataError as error:
        raise ImageError("damaged", f"It cannot be decoded. {RESTORE}") from error
    except MemoryError:
        raise
    except OSError as error:
        raise ImageError("unreadable", f"It cannot be read: {error.strerror}. Check disk and permissions.") from error
    except av.FFmpegError as error:
        raise ImageError("damaged", f"It cannot be decoded: {error.strerror}. {RESTORE}") from error


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError):  # including some of PyAV's errors
        raise
    except av.FFmpegError as error:
        raise ImageError("write-failed", f"It cannot be encoded: {error.strerror}. Convert it to MKV.") from error
