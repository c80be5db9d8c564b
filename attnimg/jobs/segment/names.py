"""The names of masks and of the files beside them, and the classes that options name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Self
from urllib.parse import quote

from attnimg.errors import UsageError
from attnimg.files.formats import has_image_extension
from attnimg.files.outputs import STDOUT, Output, OutputNames, Outputs
from attnimg.files.source import Source
from attnimg.jobs.segment.options import MaskOptions

MASK = ".png"
EXTRAS = {
    "overlay": ".overlay.png",
    "preview": ".preview.jpg",
    "cutout": ".cutout.png",
    "polygons": ".polygons.geojson",
}


@dataclass(frozen=True)
class ClassFilter:
    """The ids of the classes that the options name. only, cutout: None if the option is not given."""

    labels: tuple[str, ...]
    only: tuple[int, ...] | None
    cutout: tuple[int, ...] | None

    @classmethod
    def of(cls, options: MaskOptions, labels: Sequence[str], model: str) -> Self:
        """Look the classes up. UsageError: a class is unknown, or is cut out but not kept."""
        only, cutout = (_find_classes(names, labels, model) for names in (options.only, options.cutout))
        lost = [labels[i] for i in cutout or () if only is not None and i not in only]
        if lost:
            raise UsageError(f"--only drops {', '.join(lost)}, and --cutout needs it. Name it in both.")
        return cls(tuple(labels), only, cutout)

    @property
    def kept(self) -> Sequence[int]:
        """The ids of the classes that masks keep."""
        return range(len(self.labels)) if self.only is None else self.only


def _find_classes(names: str | None, labels: Sequence[str], model: str) -> tuple[int, ...] | None:
    if names is None:
        return None
    ids = {label.casefold(): i for i, label in enumerate(labels)}
    wanted = [name.strip() for name in names.split(",")]
    if unknown := [name for name in wanted if name.casefold() not in ids]:
        raise UsageError(f"{model} has no class {unknown[0]!r}. It has {', '.join(labels) or 'none'}.")
    return tuple(dict.fromkeys(ids[name.casefold()] for name in wanted))


def choose_extras(options: MaskOptions, classes: ClassFilter, *, overlay: bool) -> dict[str, str]:
    """Return the files beside each mask: endings by key. Score maps have a key `scores:<id>` for each class."""
    wanted = {
        "overlay": overlay,
        "preview": options.preview,
        "cutout": classes.cutout is not None,
        "polygons": options.polygons,
    }
    extras = {key: ending for key, ending in EXTRAS.items() if wanted[key]}
    # A quoted label is no path, and differs from the quoted forms of all others.
    scores = {f"scores:{i}": f".{quote(classes.labels[i], safe=' ')}.scores.png" for i in classes.kept}
    return extras | (scores if options.scores else {})


class MaskNames:
    """Decides where the files of a photo go.

    only: the file of -o FILE. stdout: the output of -o -, the only one then. extras: endings of further files, by key.
    """

    def __init__(
        self,
        names: OutputNames,
        *,
        only: Path | None = None,
        stdout: Output | None = None,
        extras: Mapping[str, str] | None = None,
    ) -> None:
        self.names, self.only, self.stdout, self.extras = names, only, stdout, extras or {}

    def plan(self, source: Source) -> Outputs:
        """Claim the names of all files of a photo, the mask's first. Raises ImageError: collision, exists."""
        if self.stdout is not None:
            return {"output": self.stdout}
        if self.only is not None:
            source = replace(source, relative=PurePath(self.only.name))
        mask = self.names.place(source, self.only.suffix if self.only else MASK)
        return {"output": mask, **{key: self.names.place(source, ending) for key, ending in self.extras.items()}}


def find_single_file(output: Path) -> Path | None:
    """Return the path if it names a file, not a folder. UsageError: it is no PNG."""
    if output == STDOUT or output.is_dir() or not has_image_extension(output):
        return None
    if output.suffix.lower() != MASK:
        raise UsageError(f"Masks are written as PNG, but {output} does not end in .png. Name a .png, or a folder.")
    return output
