"""The names and formats of enhanced photos and videos."""

from __future__ import annotations

from dataclasses import replace
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
from attnimg.files.outputs import STDOUT, Output, OutputNames, Outputs
from attnimg.files.source import Source
from attnimg.jobs.enhance.options import WriteOptions

EXTRAS = {"overlay": ".overlay.png", "compare": ".compare.jpg"}


class EnhanceNames:
    """Decides how a photo is encoded and where it goes.

    only: the file of -o FILE. stdout: the output of -o -, the only one then. overlay: whether overlays are written.
    """

    def __init__(
        self,
        names: OutputNames,
        writing: WriteOptions,
        *,
        only: Path | None = None,
        stdout: Output | None = None,
        overlay: bool = False,
    ) -> None:
        self.names, self.writing, self.only, self.stdout = names, writing, only, stdout
        wanted = {"overlay": overlay, "compare": writing.side_by_side}
        self.extras = {key: ending for key, ending in EXTRAS.items() if wanted[key]}

    def format_for(self, own: str) -> str:
        """Return the format in which a photo of the format `own` is written."""
        return self.writing.format or (self.only and format_of(self.only)) or output_format(own)

    def plan(self, source: Source) -> Outputs:
        """Claim the names of all files of a photo, its own first. Raises ImageError: collision, exists, unsupported."""
        if self.stdout is not None:
            return {"output": self.stdout}
        if source.kind == "video":
            return {"output": self._plan_video(source)}
        if self.only is not None:
            if has_video_extension(self.only):
                raise ImageError("unsupported", f"{self.only} is a video's name. Name a photo, or a folder, with -o.")
            source = replace(source, relative=PurePath(self.only.name))
            output = self.names.place(source, self.only.suffix)
        else:
            output = self.names.place(source, self.writing.suffix + self._choose_extension(source))
        extras = {key: self.names.place(source, self.writing.suffix + end) for key, end in self.extras.items()}
        return {"output": output, **extras}

    def _choose_extension(self, source: Source) -> str:
        if source.probe.format is None and self.writing.format is None:
            raise ImageError(
                "unsupported",
                "The format of a pipe or device is not known before it is read. Choose one with --save-as.",
            )
        # By its name if the content tells nothing: a damaged photo must not claim another photo's output.
        own = source.probe.format or format_of(source.path) or ""
        return extension_of(self.format_for(own), source.path)

    def _plan_video(self, source: Source) -> Output:
        """Claim a video's name, which keeps its extension. Raises Unavailable without PyAV, and ImageError."""
        if not Path(source.path).is_file() and Path(source.path).exists():
            raise ImageError("unsupported", "A video cannot come through a pipe. Save it as a file first.")
        require_video()
        extension = PurePath(source.path).suffix
        if self.only is None:
            return self.names.place(source, self.writing.suffix + extension)
        if self.only.suffix.lower() != extension.lower():
            raise ImageError("unsupported", f"A video keeps its format. End the name after -o in {extension}.")
        return self.names.place(replace(source, relative=PurePath(self.only.name)), self.only.suffix)


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
