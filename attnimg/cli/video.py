"""Videos as `attnimg enhance` sees them among photos: one record for each, and its frames on the way there."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple, cast

from attnimg.cli.progress import Progress
from attnimg.errors import ImageError, Unavailable
from attnimg.images.place import Placer, Target, Targets
from attnimg.images.source import Source
from attnimg.images.whole import changed, state_of
from attnimg.results import Enhanced, Record

if TYPE_CHECKING:
    from attnimg.cli.enhance import EnhanceJob, Ready
    from attnimg.images.video import Video
    from attnimg.tasks.enhance import Restored


def plan(source: Source, placer: Placer, suffix: str, only: Path | None) -> Target:
    """Claim a video's name, which keeps its extension; beside it stands nothing. only: as in `Naming`.

    Raises Unavailable without PyAV, and ImageError: unsupported for -o FILE of another kind, collision, exists.
    """
    require()
    extension = PurePath(source.path).suffix
    if only is None:
        return placer.place(source, suffix + extension)
    if only.suffix.lower() != extension.lower():
        raise ImageError("unsupported", f"A video keeps its format. End the name after -o in {extension}.")
    return placer.place(replace(source, relative=PurePath(only.name)), only.suffix)


def require() -> None:
    """Raise Unavailable where PyAV is not installed, or was built without its encoder."""
    try:
        import av

        from attnimg.images.video import H264
    except ImportError as error:
        raise Unavailable("Videos take an extra: pip install 'attnimg[video]'.") from error
    if H264 not in av.codecs_available:
        raise Unavailable(f"This PyAV was built without {H264}. Install PyPI's: pip install --force-reinstall av.")


class Clip(NamedTuple):
    """A video, and where it goes."""

    source: Source
    target: Target


class MixedJob:
    """Photos, as `photos` takes them, and videos.

    A video is enhanced whole while others wait, on the thread that drives the device and hears Ctrl-C.
    """

    def __init__(self, photos: EnhanceJob, is_video: Callable[[Source], bool], max_pixels: int) -> None:
        self.photos, self.is_video, self.max_pixels = photos, is_video, max_pixels
        self._progress = Progress()

    def show_on(self, progress: Progress) -> None:
        """Tell of frames there."""
        self._progress = progress

    def admit(self, source: Source) -> Record | Targets:
        """Claim the names."""
        return self.photos.admit(source)

    def read(self, source: Source, targets: Targets) -> Ready | Clip:
        """Decode a photo; a video is too long for that."""
        return Clip(source, targets["output"]) if self.is_video(source) else self.photos.read(source, targets)

    def shape(self, ready: Ready | Clip) -> Hashable:
        """A video is a batch of its own."""
        return ready.target.path if isinstance(ready, Clip) else self.photos.shape(ready)

    def pixels(self, ready: Ready | Clip) -> int:
        """A video that waits holds none."""
        return 0 if isinstance(ready, Clip) else self.photos.pixels(ready)

    def predict(self, batch: list[Ready | Clip]) -> Sequence[Restored | Enhanced]:
        """Run the net; a video is written by that, too."""
        videos = [self._enhance(ready) for ready in batch if isinstance(ready, Clip)]
        return videos or self.photos.predict([ready for ready in batch if not isinstance(ready, Clip)])

    def write(self, source: Source, ready: Ready | Clip, outcome: Restored | Enhanced) -> Record:
        """Write a photo."""
        return outcome if isinstance(outcome, Enhanced) else self.photos.write(source, cast("Ready", ready), outcome)

    def _enhance(self, clip: Clip) -> Enhanced:
        from attnimg.images.video import transcode
        from attnimg.images.write import put
        from attnimg.tasks.steady import Steady

        photos, source = self.photos, Path(clip.source.path)
        done: list[Video] = []

        before = state_of(clip.source)

        def make(temporary: Path) -> None:
            video = transcode(
                source,
                temporary,
                Steady(photos.enhancer, photos.settings),
                self._tell,
                extension=source.suffix.lower(),
                max_pixels=self.max_pixels,
                strip=photos.naming.files.strip,
            )
            if before is not None:
                if state_of(clip.source) not in (before, None):
                    raise changed()
                os.utime(temporary, ns=(before["modified"], before["modified"]))
            done.append(video)

        put(clip.target, make)
        (video,) = done
        return Enhanced(
            clip.source.path,
            os.fspath(clip.target.path),
            photos.enhancer.model,
            *video.size,
            frames=video.frames,
            note=video.note,
        )

    def _tell(self, done: int, total: int | None) -> None:
        self._progress.step(f"frame {done}" + (f" of {total}" if total else ""))
