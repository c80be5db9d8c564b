"""What is known of one image: records, and the four ways to print them (contract C2).

A task joins by adding a dataclass to `Done`: its fields are the JSON keys, of which `files` name what was written; its
tuple, if it has one, gives a row per part in CSV and table, and `parts` says of what; `columns` are the CSV's, `shown`
the table's with their widths. The rest knows no task.

Paths are `str` as `os.fsdecode` makes them: a byte that is not UTF-8 is a lone surrogate, and printed as `\\udcNN`.
"""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol

from rich.cells import cell_len, set_cell_size

from attnimg.errors import Kind


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
    """What went wrong with one image."""

    path: str
    kind: Kind
    message: str


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
        if isinstance(value, str) and _spell_bytes(value) != value:
            keys[f"{key}_b64"] = base64.b64encode(os.fsencode(value)).decode("ascii")
    return json.dumps(keys, default=asdict, allow_nan=False)


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


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    """The record as flat rows: one for each prediction (or class, ...), and one when there is none."""
    match record:
        case Failed():
            yield asdict(record)
        case Skipped(path, output):
            yield {"path": path, "output": output, "kind": "skipped", "message": f"{output} is there already."}
        case _:
            keys = to_keys(record)
            whole = keys | {"message": record.note}
            parts = [part for value in keys.values() if isinstance(value, tuple) for part in value]
            yield from ({**whole, "rank": rank, **asdict(part)} for rank, part in enumerate(parts, 1))
            if not parts:
                yield whole


Write = Callable[[Record], None]


class Out(Protocol):
    """Where records go: a text stream, or what guards one."""

    def write(self, text: str, /) -> object:
        """Take text."""
        ...

    def flush(self) -> None:
        """Bring it out."""
        ...


@contextmanager
def _print_jsonl(out: Out, kind: type[Done], width: int) -> Iterator[Write]:
    def write(record: Record) -> None:
        out.write(to_json(record) + "\n")
        out.flush()

    yield write


@contextmanager
def _print_json(out: Out, kind: type[Done], width: int) -> Iterator[Write]:
    separator = "[\n"

    def write(record: Record) -> None:
        nonlocal separator
        out.write(separator + to_json(record))
        out.flush()
        separator = ",\n"

    try:
        yield write
    finally:  # an interrupted run leaves a whole array, too
        out.write("[]\n" if separator == "[\n" else "\n]\n")


@contextmanager
def _print_csv(out: Out, kind: type[Done], width: int) -> Iterator[Write]:
    """RFC 4180; undecodable bytes spelled as in JSON, so that the file is UTF-8."""
    table = csv.DictWriter(out, (*kind.columns, "kind", "message"), extrasaction="ignore")
    table.writeheader()

    def write(record: Record) -> None:
        for row in _rows(record):
            table.writerow({k: _spell_bytes(v) if isinstance(v, str) else v for k, v in row.items()})
        out.flush()

    yield write


@contextmanager
def _print_table(out: Out, kind: type[Done], width: int) -> Iterator[Write]:
    """Lines of fixed width for a person: the path once, a line per part; a failure's sentence may be longer."""
    left = max(16, width - sum(2 + w for w in kind.shown.values()))

    def print_line(name: str, cells: Iterable[str]) -> None:
        out.write("  ".join([_fit(name, left), *cells]) + "\n")

    def write(record: Record) -> None:
        for row in _rows(record):
            name = record.path if row.get("rank", 1) == 1 else ""
            if "kind" in row:
                print_line(name, [spell_controls(row["message"])])
            else:
                print_line(name, [_cell(row.get(column), w) for column, w in kind.shown.items()])
        if isinstance(record, Done) and record.note:
            print_line("", [spell_controls(record.note)])
        out.flush()

    print_line("path", [_fit(column, w) for column, w in kind.shown.items()])
    yield write


def _spell_bytes(text: str) -> str:
    """Spell what UTF-8 cannot hold: an undecodable byte 0xNN becomes the six characters `\\udcNN`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def spell_controls(text: str) -> str:
    """Spell what a terminal would act on or not show: controls, escape sequences, odd spaces, lone surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _cell(value: str | float | None, width: int) -> str:
    if isinstance(value, str):
        return _fit(value, width)
    return ("-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)).rjust(width)


def _fit(text: str, width: int) -> str:
    """Make the text fill exactly `width` columns of a terminal, its middle cut out where it is longer."""
    text = spell_controls(text)
    if cell_len(text) > width:
        tail = text[-(width * 2 // 3) :]  # the larger part, as names end in what tells them apart
        while cell_len(tail) > width * 2 // 3:
            tail = tail[1:]
        text = set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail
    return set_cell_size(text, width)


FORMATS: dict[str, Callable[[Out, type[Done], int], AbstractContextManager[Write]]] = {
    "table": _print_table,
    "jsonl": _print_jsonl,
    "csv": _print_csv,
    "json": _print_json,
}
"""By name: `with FORMATS[name](out, Classified, width) as write: write(record)`, printed and flushed one by one.

`out` is UTF-8 text opened with newline="" (CSV ends its lines itself); `width` is the terminal's, in columns.
"""
