"""The lines of a journal: how they are written, and what can be told from them alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from attnimg.errors import UsageError
from attnimg.files.state import FileStamp, fingerprint
from attnimg.records import Done, Failed, Record, Skipped

_BEGIN = b'{"event": "run"'  # of every journal


def read_run(path: Path) -> dict[str, Any]:
    """Return what describes the run of a journal. UsageError: it is none."""
    if is_unbegun(path):
        raise UsageError(f"{path} holds no run yet: it was stopped before it began. Give its command once more.")
    try:
        with path.open("rb") as file:
            run = json.loads(file.readline())
        if run["event"] == "run" and {"arguments", "folder", "report"} <= run.keys():
            return dict(run)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. Name the file that --report wrote.") from error
    except (ValueError, KeyError, TypeError):
        pass
    raise UsageError(f"{path} is no report of a run. Name the file that --report wrote.")


def is_unbegun(path: Path) -> bool:
    """Tell whether a file is what a run leaves that was killed, or had no room, before its first line was whole."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            line = file.readline()
    except OSError:
        return False
    head = line.rstrip(b"\0")[: len(_BEGIN)]  # zeros are what file systems leave when the power fails
    return not line.endswith(b"\n") and _BEGIN.startswith(head)


def describe(record: Record, stamp: FileStamp | None) -> dict[str, Any]:
    """Return what a line says of what came of an image, but for its time."""
    outcome: dict[str, Any] = {"path": record.path, "input": stamp and asdict(stamp), "record": record.to_dict()}
    match record:
        case Failed(taken=None):
            return {"event": "failed", **outcome}
        case Failed(taken=output):  # which a resumed run must not replace either
            return {"event": "failed", **outcome, "taken": output}
        case Skipped():
            return {"event": "skipped", **outcome}
        case Done():
            return {"event": "done", **outcome, "files": [fingerprint(path) for path in record.written_files()]}
        case _:
            raise TypeError(f"{type(record).__name__} is no outcome of a run")


def encode(line: Mapping[str, Any]) -> bytes:
    """Return a line's bytes."""
    return json.dumps(line, allow_nan=False).encode("ascii") + b"\n"


def write_whole(file: FileIO, data: bytes) -> None:
    """Write all of it, in as many pieces as the system takes. OSError: it takes no more."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def to_plain(line: Mapping[str, Any]) -> Any:
    """Return a line as it is when it is read back."""
    return json.loads(json.dumps(line, default=asdict))


def now() -> str:
    """Return the time, as lines tell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
