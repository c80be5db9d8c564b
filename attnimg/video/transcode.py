"""Videos: each frame is replaced by what is made of it; time stamps, sound, subtitles and what the file tells of itself
stay. One frame after the other, so that memory is bounded however long a video is.

PyAV (https://pyav.basswood-io.com), an extra, decodes and encodes: H.264 for MP4, MOV and MKV, which PyAV may have been
built without, and MPEG-4 for AVI, which cannot hold H.264's time stamps.
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
from attnimg.images.pixels import Pixels
from attnimg.video.frames import Frames

H264: Final = "libx264"
_DEMUXERS = "mov,matroska,avi"  # a file that is a playlist could have others opened
_CRF = "16"  # H.264's losses are hardly seen from 18 downwards
_QUANTISER = 2  # the finest of MPEG-4 that is not a waste
_COPIED = ("audio", "subtitle", "attachment", "video")
_OF_THE_FILE = {"major_brand", "minor_version", "compatible_brands", "encoder"}
_OF_TRACKS = {"language", "filename", "mimetype"}  # what a track cannot be used without
_RESTORE = "Restore it from where it came."


@dataclass(frozen=True, slots=True)
class Video:
    """What was transcoded. size: (width, height) of a frame, upright. note: what a person ought to know, or None."""

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
    """Write a video anew. Frames pass one by one, on the calling thread.

    enhance_frame: is given a frame, H x W x 3 uint8 RGB, and its time in seconds, which rises from one to the next;
    returns one of the same shape.
    watch: is told how many frames are done, of how many (None: not known). extension: .mp4, .mov, .mkv or .avi.
    max_pixels: of a frame. strip: leave out what the file tells of itself, such as place, time and titles.

    Raises ImageError of kinds missing, unreadable, damaged, unsupported, too-large, write-failed; OSError where
    `target` cannot be written. Then half of it may be there.
    """
    with _reading():
        if is_cut_short(source):
            raise ImageError("damaged", f"The file is cut short. {_RESTORE}")
        reader = _open(source, "r", {"format_whitelist": _DEMUXERS})
    with reader:
        main = _choose_stream(reader, max_pixels)
        items = _read(reader, main)
        early: list[Packet[Stream] | VideoFrame] = []  # what comes before the frame that tells how to write
        while not isinstance(first := next(items, None), VideoFrame):
            if first is None:
                raise ImageError("damaged", f"It holds no frame that can be decoded. {_RESTORE}")
            early.append(first)
        told = {} if strip else {key: value for key, value in reader.metadata.items() if key not in _OF_THE_FILE}
        # Keys with dots are what Apple's devices write, in a table of their own.
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
        watch(done, done)  # where the container, or the estimate, told otherwise
    size = (first.height, first.width) if first.rotation % 180 else (first.width, first.height)
    return Video(done, size, "; ".join(writer.notes) or None)


def _open(path: Path, mode: Literal["r", "w"], options: dict[str, str], format: str | None = None) -> Any:
    # "file:", as a name may look like another protocol's; and what a file tells of itself may be in any bytes.
    return av.open(f"file:{os.fspath(path)}", mode, format, options, metadata_errors="surrogateescape")


def _choose_stream(reader: InputContainer, max_pixels: int) -> VideoStream:
    stream = reader.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise ImageError("damaged", f"It holds no video. {_RESTORE}")
    if stream.codec_context is None:
        raise ImageError("unsupported", "Its codec is not known to PyAV. Convert it to H.264.")
    if stream.width * stream.height > max_pixels:
        size = f"{stream.width} x {stream.height}"
        raise ImageError("too-large", f"Its frames have {size} pixels. Raise --max-pixels, now {max_pixels}.")
    stream.thread_type = "AUTO"
    return stream


def _estimate_frames(reader: InputContainer, stream: VideoStream) -> int | None:
    return round(Fraction(reader.duration or 0, av.time_base) * (stream.average_rate or 0)) or None


def _read(reader: InputContainer, main: VideoStream) -> Iterator[Packet[Stream] | VideoFrame]:
    """Yield the frames of `main`, and the packets of the other streams, as they come in the file."""
    with _reading():
        for packet in reader.demux():
            if packet.is_corrupt:
                raise ImageError("damaged", f"A part of the file is missing. {_RESTORE}")
            if packet.stream.index == main.index:
                yield from main.decode(packet)
            elif packet.size:  # the one that ends a stream is empty
                yield packet


class _Writer:
    """Fills the file that is made, all of whose streams must be known before anything is written.

    first: the first frame, whose colors, size and rotation are those of all. frames: to decode and encode them by.
    time_base: seconds per tick of the frames' time stamps. notes: what was not kept.
    """

    def __init__(
        self, file: OutputContainer, reader: InputContainer, main: VideoStream, first: VideoFrame, *, strip: bool
    ) -> None:
        self.notes: list[str] = []
        self._file = file
        # AVI has no time stamps but the frames' numbers, which PyAV gives as `dts`, while its `pts` are those of other
        # frames; what is read as a later start is a decoder's delay.
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
                made.metadata.clear()  # of what a template left there
                made.metadata.update(told)
        file.set_chapters([] if strip else self._chapters)

    def _add_main(self, main: VideoStream, first: VideoFrame) -> VideoStream:
        rate = main.average_rate or main.guessed_rate
        if self._file.format.name == "avi":
            made = self._file.add_stream("mpeg4", rate)
            made.codec_context.qmin = made.codec_context.qmax = _QUANTISER
            self.frames = Frames(first, "yuv420p", described=False)
        else:
            made = self._file.add_stream(H264, rate, options={"crf": _CRF})
            odd = first.width % 2 or first.height % 2  # no colors at half the resolution for such sizes
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
        if stream.name == "bin_data" and stream.frames == len(self._chapters) > 0:  # which are written anew
            return None
        if stream.type not in _COPIED or (stream.codec_context is None and stream.type != "attachment"):
            self.notes.append(f"its track {stream.index} ({stream.type}) was left out, for its kind is not known")
            return None
        try:
            return self._file.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            reason = f"Its {stream.type} ({stream.name}) cannot be written into such a file."
            raise ImageError("unsupported", f"{reason} Convert the video to MKV, which holds all kinds.") from error

    def place(self, frame: VideoFrame) -> int:
        """Return the time stamp for what is made of the next frame; files with broken ones have some twice, or none."""
        stamp = self._stamp(frame)
        pts = self._next if stamp is None else max(self._next, stamp - self._start)
        self._next = pts + 1
        return pts

    def _stamp(self, frame: VideoFrame) -> int | None:
        return frame.dts if self._numbered or frame.pts is None else frame.pts

    def write(self, pixels: Pixels, pts: int, duration: int) -> None:
        """Encode H x W x 3 pixels, to be shown from a time stamp on for so many ticks."""
        frame = self.frames.encode(pixels)
        frame.pts, frame.time_base, frame.duration = pts, self.time_base, duration
        self._file.mux(self._video.encode(frame))

    def copy(self, packet: Packet[Stream]) -> None:
        """Write a packet as it is."""
        if stream := self._streams.get(packet.stream.index):
            if packet.dts is None:  # a cover picture's
                packet.pts = packet.dts = 0
            packet.stream = stream
            self._file.mux(packet)

    def finish(self) -> None:
        """Write the frames that the encoder still holds."""
        self._file.mux(self._video.encode(None))


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError("missing", "There is no such file, or it is a link to none. Check the path.") from error
    except av.InvalidDataError as error:
        raise ImageError("damaged", f"It cannot be decoded. {_RESTORE}") from error
    except MemoryError:
        raise
    except OSError as error:
        raise ImageError("unreadable", f"It cannot be read: {error.strerror}. Check disk and rights.") from error
    except av.FFmpegError as error:
        raise ImageError("damaged", f"It cannot be decoded: {error.strerror}. {_RESTORE}") from error


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError):  # some of PyAV's errors are such, too
        raise
    except av.FFmpegError as error:
        raise ImageError("write-failed", f"It cannot be encoded: {error.strerror}. Convert it to MKV.") from error
