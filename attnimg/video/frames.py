"""Frames of a video to RGB and back, so that those left as they are come out as they went in.

Color is stored at half the resolution. It is repeated for the pixels that share it, and their mean is stored again:
nothing is lost, where smoother ways to enlarge it would blur it a little each time.
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
_HD = 720  # rows from which players take colors that are not described for BT.709, and below for BT.601
_BT601, _BT709 = 5, 1
_MATRICES = {1: _BT709, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9}  # ITU-T H.273, 8.3, to swscale's numbers
_RGB, _UNSPECIFIED = 0, 2
_LIMITED, _FULL = 1, 2


class Frames:
    """How the frames of one video are stored, which its first one tells.

    format: of the frames made. described: whether the file made can say by what matrix and range; otherwise the range
    is the limited one, and the matrix what players assume.
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
        """Return a frame as H x W x 3 uint8, scaled to the size of the first if it has another."""
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
        """Return H x W x 3 uint8 as a frame of the file's format."""
        return self._encoder.reformat(
            VideoFrame.from_ndarray(pixels.astype(np.uint8, copy=False), "rgb24"),
            format=self.format,
            dst_colorspace=self._to_matrix,
            dst_color_range=self._to_range,
            interpolation=_AVERAGE,
        )

    def name_losses(self) -> Iterator[str]:
        """Yield what the format of the frames made cannot hold of the first."""
        first, made = self._first.format, VideoFormat(self.format, self.width, self.height)
        if (bits := first.components[0].bits) > 8:
            yield f"its {bits} bits per color became 8"
        if any(component.is_alpha for component in first.components):
            yield "its transparency was left out"
        if any(old > new for old, new in zip(_size_of_colors(first), _size_of_colors(made), strict=True)):
            yield "its colors are kept at half their resolution, as players expect"

    def describe(self, codec: VideoCodecContext) -> None:
        """Say in the file made what the colors mean, as far as the first frame does."""
        codec.width, codec.height, codec.pix_fmt = self.width, self.height, self.format
        if self._described:
            first = self._first
            codec.color_primaries, codec.color_trc = first.color_primaries, first.color_trc
            codec.color_range = self._to_range
            codec.colorspace = self._to_matrix if first.colorspace == _RGB else first.colorspace


def _size_of_colors(format: VideoFormat) -> tuple[int, int]:
    """Return how wide and high the planes of color are; (0, 0) of a format without any."""
    colors = [part for part in format.components if not (part.is_luma or part.is_alpha)]
    return max((part.width for part in colors), default=0), max((part.height for part in colors), default=0)
