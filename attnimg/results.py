"""What is known of one image: records, as JSON and back (contract C2).

A task joins by adding a dataclass to `Done`: its fields are the JSON keys, of which `files` name what was written; its
tuple, if it has one, gives a row per part in CSV and table (`cli.printing`), and `parts` says of what; `columns` are
the CSV's, `shown` the table's with their widths. The rest knows no task.

Paths are `str` as `os.fsdecode` makes them: a byte that is not UTF-8 is a lone surrogate, and printed as `\\udcNN`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from attnimg.errors import ImageError, Kind


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label. `id` is the data set's own name of the class, `score` a calibrated probability in [0, 1]."""

    id: str
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Classified:
    """What classify found: predictions best first, none below the minimum score.

    overlay: the file written. filed: where the image was sorted to.
    """

    path: str
    model: str
    predictions: tuple[Prediction, ...]
    overlay: str | None = None
    filed: str | None = None
    note: str | None = None

    files: ClassVar = ("overlay", "filed")
    parts: ClassVar[dict[str, type]] = {"predictions": Prediction}
    columns: ClassVar = ("path", "model", "rank", "id", "label", "score")
    shown: ClassVar = {"label": 28, "score": 5}


@dataclass(frozen=True, slots=True)
class Enhanced:
    """A photo or video that was enhanced.

    output, overlay, compare: the files written. width, height: upright, in pixels. frames: of a video.
    """

    path: str
    output: str
    model: str
    width: int
    height: int
    overlay: str | None = None
    compare: str | None = None
    frames: int | None = None
    note: str | None = None

    files: ClassVar = ("output", "overlay", "compare")
    parts: ClassVar[dict[str, type]] = {}
    columns: ClassVar = ("path", "output", "model", "width", "height")
    shown: ClassVar = {"output": 32, "width": 6, "height": 6}


@dataclass(frozen=True, slots=True)
class Area:
    """What a class takes of a photo. `id` is its value in the mask, `fraction` its share of all pixels, in [0, 1]."""

    id: int
    label: str
    pixels: int
    fraction: float


@dataclass(frozen=True, slots=True)
class Segmented:
    """A photo that was segmented.

    output: the mask; overlay, preview, cutout, polygons, scores: the other files written. width, height: upright, in
    pixels. classes: those that are there, largest first.
    """

    path: str
    output: str
    model: str
    width: int
    height: int
    classes: tuple[Area, ...]
    overlay: str | None = None
    preview: str | None = None
    cutout: str | None = None
    polygons: str | None = None
    scores: list[str] | None = None
    note: str | None = None

    files: ClassVar = ("output", "overlay", "preview", "cutout", "polygons", "scores")
    parts: ClassVar[dict[str, type]] = {"classes": Area}
    columns: ClassVar = ("path", "output", "model", "id", "label", "pixels", "fraction")
    shown: ClassVar = {"label": 20, "pixels": 10, "fraction": 8}


@dataclass(frozen=True, slots=True)
class Failed:
    """What went wrong with one image. taken: as of `ImageError`; for the journal, and not in the JSON."""

    path: str
    kind: Kind
    message: str
    taken: str | None = None

    @classmethod
    def of(cls, path: str, error: ImageError) -> Self:
        """Return the record of an error."""
        return cls(path, error.kind, error.message, error.taken)


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image whose output was there already."""

    path: str
    output: str


Done = Classified | Enhanced | Segmented
Record = Done | Failed | Skipped


@dataclass(slots=True)
class Tally:
    """How many images went which way; `line` is the last one on stderr."""

    done: int = 0
    skipped: int = 0
    failed: int = 0

    def add(self, record: Record) -> None:
        """Count one record."""
        match record:
            case Failed():
                self.failed += 1
            case Skipped():
                self.skipped += 1
            case _:
                self.done += 1

    def line(self, passed_over: int) -> str:
        """The sentence for a person; `passed_over` files are counted where images are looked for."""
        return f"{self.done} done, {self.skipped} skipped, {self.failed} failed, {passed_over} passed over"


def to_json(record: Record) -> str:
    """The record as one line of ASCII JSON; keys that are not set are left out.

    Beside a path that is not UTF-8 (`path`, `output`, ...) stand its bytes as `<key>_b64`. ValueError: a score is NaN.
    """
    keys: dict[str, Any] = {}
    for key, value in to_keys(record).items():
        keys[key] = value
        if isinstance(value, str) and spell_bytes(value) != value:
            keys[f"{key}_b64"] = _encode_path(value)
        elif isinstance(value, list) and any(spell_bytes(path) != path for path in value):
            keys[f"{key}_b64"] = [_encode_path(path) for path in value]
    return json.dumps(keys, default=asdict, allow_nan=False)


def _encode_path(path: str) -> str:
    return base64.b64encode(os.fsencode(path)).decode("ascii")


def to_keys(record: Record) -> dict[str, Any]:
    """The record as it is in JSON, but for its parts, which are still dataclasses; without keys that are not set."""
    match record:
        case Failed(path, kind, message):
            return {"path": path, "error": {"kind": kind, "message": message}}
        case Skipped(path, output):
            return {"path": path, "output": output, "skipped": True}
        case _:
            values = {field.name: getattr(record, field.name) for field in fields(record)}
            return {name: value for name, value in values.items() if value is not None}


def from_keys(kind: type[Done], keys: Mapping[str, Any]) -> Done:
    """The way back from JSON, of an image that was done."""
    parts = {name: tuple(part(**values) for values in keys[name]) for name, part in kind.parts.items()}
    return kind(**{**keys, **parts})


def written_files(record: Done) -> Iterator[str]:
    """The paths of the files that were written for an image."""
    for key in record.files:
        value = getattr(record, key)
        yield from [value] if isinstance(value, str) else value or ()


def spell_bytes(text: str) -> str:
    """Spell what UTF-8 cannot hold: an undecodable byte 0xNN becomes the six characters `\\udcNN`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
