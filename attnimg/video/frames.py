"""Conversion of video frames to RGB and back, such that unchanged frames survive it.

Color is stored at half the resolution. Decoding repeats it for the pixels that share it, and encoding stores their
mean. That is lossless, whereas smooth interpolation would blur the color a little each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from attnimg.images.pixels import Pixels

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

_REPEAT = Interpolation.POINT | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_AVERAGE = Interpolation.AREA | Interpolation.ACCURATE_RND
_HD = 720  # rows; for undescribed colors, players assume BT.709 from this height on, and BT.601 below
_BT601, _BT709 = 5, 1
_MATRICES = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9}  # ITU-T H.273, 8.3, to swscale's numbers
_RGB, _UNSPECIFIED = 0, 2
_LIMITED, _FULL = 1, 2


class Frames:
    """Decodes and encodes the frames of one video, in the storage of its first frame.

    format: pixel format of encoded frames. described: whether the output file can store color matrix and range;
    otherwise the range is limited, and the matrix is the one that players assume.
    """

    def __init__(self, first: VideoFrame, format: str, *, described: bool) -> None:
        self.width, self.height, self.format = first.width, first.height, format
        self._first = first
        usual = _BT709 if first.height >= _HD else _BT601
        self._rgb = first.format.is_rgb
        self._from_matrix = _MATRICES.get(first.colorspace, usual)
        self._from_range = _FULL if first.color_range == _FULL or "yuvj" in first.format.name else _LIMITED
        self._described = described
        self._to_matrix = self._from_matrix if described else usual
        self._to_range = self._from_range if described and not self._rgb else _LIMITED
        self._decoder, self._encoder = VideoReformatter(), VideoReformatter()

    def decode(self, frame: VideoFrame) -> Pixels:
        """Return a frame as H x W x 3 uint8, scaled to the size of the first frame if it differs."""
        rgb = self._decoder.reformat(
            frame,
            self.width,
            self.height,
            "rgb24",
            src_colorspace=None if self._rgb else self._from_matrix,
            src_color_range=None if self._rgb else self._from_range,
            interpolation=_REPEAT,
        )
        return np.asarray(rgb.to_ndarray(), np.uint8)

    def encode(self, pixels: Pixels) -> VideoFrame:
        """Return H x W x 3 uint8 as a frame of the output's pixel format."""
        return self._encoder.reformat(
            VideoFrame.from_ndarray(pixels.astype(np.uint8, copy=False), "rgb24"),
            format=self.format,
            dst_colorspace=self._to_matrix,
            dst_color_range=self._to_range,
            interpolation=_AVERAGE,
        )

    def name_losses(self) -> Iterator[str]:
        """Yield notes on properties of the first frame that the output's pixel format cannot store."""
        first, made = self._first.format, VideoFormat(self.format, self.width, self.height)
        if (bits := first.components[0].bits) > 8:
            yield f"its {bits} bits per color became 8"
        if any(component.is_alpha for component in first.components):
            yield "its transparency was removed"
        if any(old > new for old, new in zip(_size_of_colors(first), _size_of_colors(made), strict=True)):
            yield "its colors are stored at half their resolution, as players expect"

    def describe(self, codec: VideoCodecContext) -> None:
        """Store size, pixel format and, if known, the color description of the first frame in the output file."""
        codec.width, codec.height, codec.pix_fmt = self.width, self.height, self.format
        if self._described:
            first = self._first
            codec.color_primaries, codec.color_trc = first.color_primaries, first.color_trc
            codec.color_range = self._to_range
            codec.colorspace = self._to_matrix if first.colorspace == _RGB else first.colorspace


def _size_of_colors(format: VideoFormat) -> tuple[int, int]:
    """Return width and height of the color planes; (0, 0) for gray formats."""
    colors = [part for part in format.components if not (part.is_luma or part.is_alpha)]
    return max((part.width for part in colors), default=0), max((part.height for part in colors), default=0)
