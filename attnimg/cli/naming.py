"""How enhanced photos and videos are written and what they are called: the options for that, and the names."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Annotated, Literal

import typer

from attnimg.cli.video import plan as plan_video
from attnimg.errors import ImageError, UsageError
from attnimg.images.formats import has_video_extension
from attnimg.images.place import Placer, Targets
from attnimg.images.source import Source

BESIDE = {"overlay": ".overlay.png", "compare": ".compare.jpg"}
FORMATS = {"jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "tiff": "TIFF"}


@dataclass(frozen=True)
class Files:
    """How the enhanced photos are written."""

    save_as: Annotated[
        Literal["same", "jpeg", "png", "webp", "tiff"],
        typer.Option(help="Format of the files; same: the photo's own.", rich_help_panel="Output"),
    ] = "same"
    quality: Annotated[
        int, typer.Option(min=1, max=100, help="Of JPEG, WebP, AVIF, HEIC.", rich_help_panel="Output")
    ] = 95
    suffix: Annotated[
        str, typer.Option(help="Put between name and extension, such as -bright.", rich_help_panel="Output")
    ] = ""
    strip: Annotated[
        bool, typer.Option("--strip", help="Drop EXIF, XMP, and the profile (for sRGB).", rich_help_panel="Output")
    ] = False
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Write before and after in one picture.", rich_help_panel="Output")
    ] = False

    def __post_init__(self) -> None:
        if "/" in self.suffix or os.sep in self.suffix or "\0" in self.suffix:
            raise UsageError("--suffix is a part of a name; choose the folder with -o.")


class Naming:
    """Decides how a photo is encoded and where it goes. only: the one file that was asked for with -o FILE."""

    def __init__(self, placer: Placer, files: Files, only: Path | None, *, overlay: bool) -> None:
        self.placer, self.files, self.only = placer, files, only
        wanted = {"overlay": overlay, "compare": files.side_by_side}
        self.beside = {key: ending for key, ending in BESIDE.items() if wanted[key]}

    def format_for(self, own: str) -> str:
        """Return the format of what was read as `own`, in Pillow's words."""
        from attnimg.images.encode import format_of, output_format

        if self.files.save_as != "same":
            return FORMATS[self.files.save_as]
        return (self.only and format_of(self.only)) or output_format(own)

    def plan(self, source: Source) -> Targets:
        """Claim the names of all files of a photo, its own first. Raises ImageError: collision, exists, unsupported."""
        from attnimg.images.encode import extension_of, format_of

        if is_video(source):
            if _sniff(source) is None:
                raise ImageError("unsupported", "A video cannot come through a pipe. Save it as a file first.")
            return {"output": plan_video(source, self.placer, self.files.suffix, self.only)}
        if self.only is not None:
            if has_video_extension(self.only.name):
                raise ImageError("unsupported", f"{self.only} is a video's name. Name a photo, or a folder, with -o.")
            source = replace(source, relative=PurePath(self.only.name))
            output = self.placer.place(source, self.only.suffix)
        else:
            sniffed = _sniff(source)
            if sniffed is None and self.files.save_as == "same":
                raise ImageError(
                    "unsupported",
                    "The format of a pipe or device is not known before it is read. Say what to write with --save-as.",
                )
            # By its name where the content tells nothing: what is damaged must not claim another photo's output.
            own = sniffed or format_of(source.path) or ""
            extension = extension_of(self.format_for(own), source.path)
            output = self.placer.place(source, self.files.suffix + extension)
        beside = {key: self.placer.place(source, self.files.suffix + end) for key, end in self.beside.items()}
        return {"output": output, **beside}


def find_single_file(output: Path, files: Files) -> Path | None:
    """Return the path if it names a file, not a folder. UsageError: of a format that is not written, or not wanted."""
    from attnimg.images.encode import EXTENSIONS, format_of
    from attnimg.images.formats import has_image_extension

    if output.is_dir():
        return None
    if has_video_extension(os.fspath(output)):
        return output
    if not has_image_extension(os.fspath(output)):
        return None
    format_ = format_of(output)
    if format_ is None:
        endings = ", ".join(known[0] for known in EXTENSIONS.values())
        raise UsageError(f"{output} is of a format that cannot be written. Choose one of {endings}, or name a folder.")
    if files.save_as != "same" and FORMATS[files.save_as] != format_:
        raise UsageError(f"--save-as {files.save_as} contradicts -o {output}. Leave it out, or name another file.")
    return output


def is_video(source: Source) -> bool:
    """Tell whether a source is named as a video, and is no image under such a name."""
    return has_video_extension(source.path) and not _sniff(source)


def _sniff(source: Source) -> str | None:
    """Name a file's format by its first bytes; by none, what `read` complains of. None: they can be read only once."""
    from attnimg.images.formats import HEAD, sniff

    if source.data is not None:
        return sniff(source.data[:HEAD]) or ""
    try:
        if not stat.S_ISREG(os.stat(source.path).st_mode):  # noqa: PTH116 - any bytes
            return None
        with open(source.path, "rb") as file:  # noqa: PTH123 - any bytes
            return sniff(file.read(HEAD)) or ""
    except OSError:
        return ""
