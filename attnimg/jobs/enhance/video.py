"""Enhance a video from start to end, on the thread that drives the device; other inputs wait."""

from __future__ import annotations

import os
from pathlib import Path

from attnimg.files.outputs import Output
from attnimg.files.source import Source
from attnimg.files.state import FileStamp, changed_error
from attnimg.files.write import put
from attnimg.pipeline.job import Tell
from attnimg.predictors.enhance import Enhancer
from attnimg.predictors.restorer import Settings
from attnimg.predictors.temporal import TemporalEnhancer
from attnimg.records import Enhanced
from attnimg.video.transcode import Video, transcode


def enhance_video(
    source: Source, output: Output, enhancer: Enhancer, settings: Settings, tell: Tell, *, max_pixels: int, strip: bool
) -> Enhanced:
    """Write the enhanced video and return its record. tell: takes the number of frames done. Raises ImageError."""
    path = Path(source.path)
    done: list[Video] = []
    before = FileStamp.of(source)

    def watch(frames: int, total: int | None) -> None:
        tell(f"frame {frames}" + (f" of {total}" if total else ""))

    def make(temporary: Path) -> None:
        video = transcode(
            path,
            temporary,
            TemporalEnhancer(enhancer, settings),
            watch,
            extension=path.suffix.lower(),
            max_pixels=max_pixels,
            strip=strip,
        )
        if before is not None:
            if FileStamp.of(source) not in (before, None):
                raise changed_error()
            os.utime(temporary, ns=(before.modified, before.modified))
        done.append(video)

    put(output, make)
    (video,) = done
    return Enhanced(
        source.path, os.fspath(output.path), enhancer.model, *video.size, frames=video.frames, note=video.note
    )
