"""Records: the result of one input, as dataclasses, as JSON and back (docs/contract.md, C2).

A task joins by a dataclass that extends `Done`: its fields are the JSON keys. The rest of the code knows no task.

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


class Record:
    """The result of one input. path: the input's path, as found."""

    __slots__ = ()
    path: str

    def to_dict(self) -> dict[str, Any]:
        """Return the record as in JSON, its parts still dataclasses; without keys that are None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if value is not None}

    def to_json(self) -> str:
        """Return the record as one line of ASCII JSON.

        A path that is not UTF-8 (`path`, `output`, ...) gets one more key, `<key>_b64`, with its bytes. ValueError: a
        score is NaN.
        """
        keys: dict[str, Any] = {}
        for key, value in self.to_dict().items():
            keys[key] = value
            if isinstance(value, str) and spell_bytes(value) != value:
                keys[f"{key}_b64"] = _encode_path(value)
            elif isinstance(value, list) and any(spell_bytes(path) != path for path in value):
                keys[f"{key}_b64"] = [_encode_path(path) for path in value]
        return json.dumps(keys, default=asdict, allow_nan=False)


class Done(Record):
    """The record of an input that was done; a base for the tasks' dataclasses.

    note: a remark for the user, or None. files: keys that name written files. parts: the key that holds a tuple,
    and the type of its elements; each gives a row in CSV and table. columns: of CSV. shown: columns of the table, with
    their widths.
    """

    __slots__ = ()
    note: str | None

    files: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[Mapping[str, type]] = {}
    columns: ClassVar[tuple[str, ...]] = ()
    shown: ClassVar[Mapping[str, int]] = {}

    @classmethod
    def from_dict(cls, keys: Mapping[str, Any]) -> Self:
        """Return the record of `to_dict`'s JSON."""
        parts = {name: tuple(part(**values) for values in keys[name]) for name, part in cls.parts.items()}
        return cls(**{**keys, **parts})

    def written_files(self) -> Iterator[str]:
        """Yield the paths of the files that were written."""
        for key in self.files:
            value = getattr(self, key)
            yield from [value] if isinstance(value, str) else value or ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label. id: the class's name in its data set. score: calibrated probability, 0 to 1."""

    id: str
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Classified(Done):
    """An image that was classified.

    predictions: best first, none below the minimum score. overlay: the file written. filed: path it was sorted to.
    """

    path: str
    model: str
    predictions: tuple[Prediction, ...]
    overlay: str | None = None
    filed: str | None = None
    note: str | None = None

    files: ClassVar = ("overlay", "filed")
    parts: ClassVar = {"predictions": Prediction}
    columns: ClassVar = ("path", "model", "rank", "id", "label", "score")
    shown: ClassVar = {"label": 28, "score": 5}


@dataclass(frozen=True, slots=True)
class Enhanced(Done):
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
    columns: ClassVar = ("path", "output", "model", "width", "height")
    shown: ClassVar = {"output": 32, "width": 6, "height": 6}


@dataclass(frozen=True, slots=True)
class Area:
    """The area of one class. id: its value in the mask. fraction: share of all pixels, 0 to 1."""

    id: int
    label: str
    pixels: int
    fraction: float


@dataclass(frozen=True, slots=True)
class Segmented(Done):
    """A photo that was segmented.

    output: the mask. overlay, preview, cutout, polygons, scores: the other files written. width, height: upright, in
    pixels. classes: those present, largest first.
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
    parts: ClassVar = {"classes": Area}
    columns: ClassVar = ("path", "output", "model", "id", "label", "pixels", "fraction")
    shown: ClassVar = {"label": 20, "pixels": 10, "fraction": 8}


@dataclass(frozen=True, slots=True)
class Failed(Record):
    """An input that failed. taken: as of `ImageError`; for the journal only, not in JSON."""

    path: str
    kind: Kind
    message: str
    taken: str | None = None

    @classmethod
    def of(cls, path: str, error: ImageError) -> Self:
        """Return the record of an error."""
        return cls(path, error.kind, error.message, error.taken)

    def to_dict(self) -> dict[str, Any]:
        """As of `Record`."""
        return {"path": self.path, "error": {"kind": self.kind, "message": self.message}}


@dataclass(frozen=True, slots=True)
class Skipped(Record):
    """An input whose output existed already."""

    path: str
    output: str

    def to_dict(self) -> dict[str, Any]:
        """As of `Record`."""
        return {"path": self.path, "output": self.output, "skipped": True}


@dataclass(frozen=True, slots=True)
class Planned(Record):
    """An input of a dry run.

    outputs: the files that would be written for it. existing: those that would be skipped.
    """

    path: str
    outputs: tuple[str, ...]
    existing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As of `Record`."""
        return {"path": self.path, "outputs": list(self.outputs), "existing": list(self.existing), "planned": True}


@dataclass(slots=True)
class Tally:
    """Counts of results; `line` is the last line on stderr."""

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

    @property
    def total(self) -> int:
        """All records that were counted."""
        return self.done + self.skipped + self.failed

    def line(self, passed_over: int) -> str:
        """Return the counts for a person. passed_over: files that the search left out."""
        return f"{self.done} done, {self.skipped} skipped, {self.failed} failed, {passed_over} passed over"


def _encode_path(path: str) -> str:
    return base64.b64encode(os.fsencode(path)).decode("ascii")


def spell_bytes(text: str) -> str:
    """Escape bytes that are not UTF-8: an undecodable byte 0xNN becomes the six characters `\\udcNN`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
