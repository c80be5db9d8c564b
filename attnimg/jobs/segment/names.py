"""The names of masks and of the files next to them, and the classes that options name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from attnimg.errors import UsageError
from attnimg.files.formats import has_image_extension
from attnimg.files.outputs import STDOUT
from attnimg.jobs.destination import ENDINGS
from attnimg.jobs.segment.options import MaskOptions

MASK = ".png"


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
    """Return the files next to each mask: endings by key. Score maps have a key `scores:<id>` for each class."""
    wanted = {
        "overlay": overlay,
        "preview": options.preview,
        "cutout": classes.cutout is not None,
        "polygons": options.polygons,
    }
    extras = {key: ENDINGS[key] for key in wanted if wanted[key]}
    # A quoted label is no path, and differs from the quoted forms of all others.
    scores = {f"scores:{i}": f".{quote(classes.labels[i], safe=' ')}.scores.png" for i in classes.kept}
    return extras | (scores if options.scores else {})


def find_single_file(output: Path) -> Path | None:
    """Return the path if it names a file, not a folder. UsageError: it is no PNG."""
    if output == STDOUT or output.is_dir() or not has_image_extension(output):
        return None
    if output.suffix.lower() != MASK:
        raise UsageError(f"Masks are written as PNG, but {output} does not end in .png. Name a .png, or a folder.")
    return output
