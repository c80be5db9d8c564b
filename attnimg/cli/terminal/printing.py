"""The four formats of printed records (docs/contract.md, C2)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any, Protocol

from rich.cells import cell_len, set_cell_size

from attnimg.cli.terminal.text import spell_controls
from attnimg.records import Done, Failed, Record, Skipped, spell_bytes

Write = Callable[[Record], None]


class Out(Protocol):
    """A text stream, or a guard around one."""

    def write(self, text: str, /) -> object:
        """Write text."""
        ...

    def flush(self) -> None:
        """Flush it."""
        ...


@contextmanager
def _print_jsonl(out: Out, kind: type[Done], width: int) -> Iterator[Write]:
    def write(record: Record) -> None:
        out.write(record.to_json() + "\n")
        out.flush()

    yield write


@contextmanager
def _print_json(out: Out, kind: type[Done], width: int) -> Iterator[Write]:
    separator = "[\n"

    def write(record: Record) -> None:
        nonlocal separator
        out.write(separator + record.to_json())
        out.flush()
        separator = ",\n"

    try:
        yield write
    finally:  # an interrupted run leaves a complete array, too
        out.write("[]\n" if separator == "[\n" else "\n]\n")


@contextmanager
def _print_csv(out: Out, kind: type[Done], width: int) -> Iterator[Write]:
    """RFC 4180; undecodable bytes spelled as in JSON, so that the file is UTF-8."""
    table = csv.DictWriter(out, (*kind.columns, "kind", "message"), extrasaction="ignore")
    table.writeheader()

    def write(record: Record) -> None:
        for row in _rows(record):
            table.writerow({k: spell_bytes(v) if isinstance(v, str) else v for k, v in row.items()})
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


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    """The record as flat rows: one for each prediction (or class, ...), and one when there is none."""
    match record:
        case Failed():
            yield asdict(record)
        case Skipped(path, output):
            yield {"path": path, "output": output, "kind": "skipped", "message": f"{output} exists."}
        case _:
            keys = record.to_dict()
            whole = keys | {"message": keys.get("note")}
            parts = [part for value in keys.values() if isinstance(value, tuple) for part in value]
            yield from ({**whole, "rank": rank, **asdict(part)} for rank, part in enumerate(parts, 1))
            if not parts:
                yield whole


def _cell(value: str | float | None, width: int) -> str:
    if isinstance(value, str):
        return _fit(value, width)
    return ("-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)).rjust(width)


def _fit(text: str, width: int) -> str:
    """Make the text fill exactly `width` columns of a terminal, its middle cut out where it is longer."""
    text = spell_controls(text)
    if cell_len(text) > width:
        tail = text[-(width * 2 // 3) :]  # the larger part, as names differ mostly at their end
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
