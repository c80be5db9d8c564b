"""The lines of a journal: encode and write them, and read the first one."""

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

_BEGIN = b'{"event": "run"'  # the first bytes of every journal


def read_run(path: Path) -> dict[str, Any]:
    """Return the description of a journal's run. UsageError: the file is not a journal."""
    if has_not_begun(path):
        raise UsageError(f"{path} holds no run yet: it was stopped before it began. Run the original command again.")
    try:
        with path.open("rb") as file:
            run = json.loads(file.readline())
        if run["event"] == "run" and {"arguments", "folder", "report"} <= run.keys():
            return dict(run)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. Name the file that --report wrote.") from error
    except (ValueError, KeyError, TypeError):
        pass
    raise UsageError(f"{path} is not the report of a run. Name the file that --report wrote.")


def has_not_begun(path: Path) -> bool:
    """Whether a file was left by a run that was killed, or had a full disk, before its first line was complete."""
    try:
        if not path.is_file():  # opening a pipe would wait for its writer
            return False
        with path.open("rb") as file:
            line = file.readline()
    except OSError:
        return False
    head = line.rstrip(b"\0")[: len(_BEGIN)]  # file systems leave zeros after a power failure
    return not line.endswith(b"\n") and _BEGIN.startswith(head)


def describe_outcome(record: Record, stamp: FileStamp | None) -> dict[str, Any]:
    """Return the line of an image's record, without its time. stamp: of the input."""
    outcome: dict[str, Any] = {"path": record.path, "input": stamp and asdict(stamp), "record": record.to_dict()}
    match record:
        case Failed(taken=None):
            return {"event": "failed", **outcome}
        case Failed(taken=output):  # a resumed run must not replace it either
            return {"event": "failed", **outcome, "taken": output}
        case Skipped():
            return {"event": "skipped", **outcome}
        case Done():
            return {"event": "done", **outcome, "files": [fingerprint(path) for path in record.written_files()]}
        case _:
            raise TypeError(f"{type(record).__name__} is not an outcome of a run")


def encode_line(line: Mapping[str, Any]) -> bytes:
    """Return a line as bytes: JSON in ASCII, with its newline."""
    return json.dumps(line, allow_nan=False).encode("ascii") + b"\n"


def write_whole(file: FileIO, data: bytes) -> None:
    """Write all bytes; one call of the system may take only a part. OSError: the device is full, for example."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def as_json(line: Mapping[str, Any]) -> Any:
    """Return a line as reading it back would: lists for tuples, dictionaries for dataclasses."""
    return json.loads(json.dumps(line, default=asdict))


def now() -> str:
    """Return the current time in UTC, in ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
