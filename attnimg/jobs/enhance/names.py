"""The names and formats of enhanced photos and videos."""

from __future__ import annotations

from pathlib import Path, PurePath

from attnimg.errors import ImageError, Unavailable, UsageError
from attnimg.files.formats import (
    FORMATS,
    extension_of,
    format_of,
    has_image_extension,
    has_video_extension,
    output_format,
)
from attnimg.files.outputs import STDOUT, Outputs
from attnimg.files.source import Source
from attnimg.jobs.destination import ENDINGS, Destination
from attnimg.jobs.enhance.options import WriteOptions


class EnhanceNames:
    """Decides how a photo is encoded, and claims the names of its files. overlay: whether overlays are written."""

    def __init__(self, destination: Destination, writing: WriteOptions, *, overlay: bool = False) -> None:
        self.destination, self.writing = destination, writing
        wanted = {"overlay": overlay, "compare": writing.side_by_side}
        self.extras = {key: writing.suffix + ENDINGS[key] for key in wanted if wanted[key]}

    def format_for(self, own: str) -> str:
        """Return the format in which a photo of the format `own` is written."""
        only = self.destination.only
        return self.writing.format or (only and format_of(only)) or output_format(own)

    def plan(self, source: Source) -> Outputs:
        """Claim the names, the output's first. Raises ImageError: collision, exists, unsupported; and Unavailable."""
        if source.kind == "video":
            return self.destination.plan(source, self.writing.suffix + self._check_video(source), {})
        return self.destination.plan(source, self.writing.suffix + self._choose_extension(source), self.extras)

    def _choose_extension(self, source: Source) -> str:
        only = self.destination.only
        if only is not None and has_video_extension(only):
            raise ImageError("unsupported", f"{only} is a video's name. Name a photo, or a folder, with -o.")
        named = self.destination.stdout is None and only is None
        if named and source.probe.format is None and self.writing.format is None:
            raise ImageError(
                "unsupported",
                "The format of a pipe or device is not known before it is read. Choose one with --save-as.",
            )
        # By its name if the content tells nothing: a damaged photo must not claim another photo's output.
        own = source.probe.format or format_of(source.path) or ""
        return extension_of(self.format_for(own), source.path)

    def _check_video(self, source: Source) -> str:
        """Return a video's extension, which it keeps. Raises Unavailable without PyAV, and ImageError."""
        if not Path(source.path).is_file() and Path(source.path).exists():
            raise ImageError("unsupported", "A video cannot come through a pipe. Save it as a file first.")
        require_video()
        extension, only = PurePath(source.path).suffix, self.destination.only
        if only is not None and only.suffix.lower() != extension.lower():
            raise ImageError("unsupported", f"A video keeps its format. End the name after -o in {extension}.")
        return extension


def require_video() -> None:
    """Raise Unavailable if PyAV is not installed, or lacks its encoder."""
    try:
        import av

        from attnimg.video.transcode import H264
    except ImportError as error:
        raise Unavailable("Videos need an extra: pip install 'attnimg[video]'.") from error
    if H264 not in av.codecs_available:
        raise Unavailable(f"This PyAV was built without {H264}. Install PyPI's: pip install --force-reinstall av.")


def find_single_file(output: Path, writing: WriteOptions) -> Path | None:
    """Return the path if it names a file, not a folder. UsageError: its format is not written, or not wanted."""
    if output == STDOUT or output.is_dir():
        return None
    if has_video_extension(output):
        return output
    if not has_image_extension(output):
        return None
    format_ = format_of(output)
    if format_ is None:
        endings = ", ".join(known.extensions[0] for known in FORMATS.values() if known.is_written)
        raise UsageError(f"Cannot write {output}: unsupported format. Use one of {endings}, or give a folder.")
    if writing.format not in (None, format_):
        raise UsageError(f"--save-as {writing.save_as} contradicts -o {output}. Leave it out, or name another file.")
    return output
