"""The journal of a run: what was begun and what came of it, so that an interrupted run goes on where it was.

One JSON object per line. `run` and `resumed` say who wrote what follows; `read` notes an image, and the files that are
to be written for it, before any of them is; `done`, `skipped` and `failed` hold its record; `end` counts. A line is in
the hands of the system before what it announces happens, so that a killed process loses none. The last outcome of an
image counts; done is only what is as it was: the input by size and time, the files by size and SHA-256. What failed is
tried again.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from attnimg import __version__
from attnimg.errors import UsageError
from attnimg.images.place import Targets
from attnimg.images.source import Source
from attnimg.images.whole import State, fingerprint, state_of
from attnimg.images.write import RUN, temporaries
from attnimg.pipeline.journal import Admit, Journal, JournalFailed
from attnimg.results import Done, Failed, Record, Skipped, Tally, from_keys, to_keys, written_files

try:
    import fcntl
except ImportError:  # on Windows nothing keeps two from going on with one run
    fcntl = None  # type: ignore[assignment]

Key = tuple[str, int]  # a path, and the how manieth time it comes: a list may name it twice


class FileJournal(Journal):
    """A journal in a file.

    run: what describes the run, JSON values; its `writes` are the files that it writes of all images together. kind: of
    the records of images that are done. resume: go on with the run that the file holds.

    UsageError: the file is there; or with `resume` is not, is no journal, is of another run, or in use.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], kind: type[Done], *, resume: bool) -> None:
        self._path, self._run, self._kind, self._resume = path, run, kind, resume
        self._lock = threading.Lock()  # the feeder's thread notes what is read, the calling one what came of it
        self._failure: OSError | None = None  # after which nothing is written: it may have left half a line
        self._admitted, self._settled = Counter[str](), Counter[str]()
        self._under_way: dict[Key, tuple[float, State]] = {}  # since when (monotonic), and the input's state
        self._recalled: dict[Key, State] = {}
        self._outcomes: dict[Key, int] = {}  # where in the file
        self.begun: set[str] = set()
        self._own: set[str] = set()  # the same, absolute
        if resume != os.path.lexists(path):
            there = "is there already. `attnimg resume` goes on with its run; or name another file."
            raise UsageError(f"{path} {'is not there. Leave out --resume, and the run begins.' if resume else there}")
        if resume:
            self._open("ab")
            self._take_up()
            self._own = {os.path.abspath(output) for output in self.begun}  # noqa: PTH100 - any bytes, links as named

    def start(self) -> None:
        """Create the file, or say in it that the run goes on."""
        if not self._resume:
            self._open("xb")
        event = "resumed" if self._resume else "run"
        self._write({"event": event, "at": _now(), "attnimg": __version__, "temporary": RUN, **self._run})

    def admitting(self, admit: Admit) -> Admit:
        """Return what admits sources as `admit` does, notes those that are to be read, and recalls those done."""

        def admit_noted(source: Source) -> Record | Targets:
            self._admitted[source.path] += 1
            key = source.path, self._admitted[source.path]
            admitted = admit(source)  # claims its names, whatever is left to do
            if not isinstance(admitted, dict):
                return admitted
            state = state_of(source)
            if (record := self._recall(key, state)) is not None:
                self._recalled[key] = state
                return record
            self._under_way[key] = time.monotonic(), state
            writes = [os.fspath(target.path) for target in admitted.values()]
            self._write({"event": "read", "at": _now(), "path": source.path, "writes": writes})
            return admitted

        return admit_noted

    def wrote(self, source: Source) -> bool:
        """Tell whether a source is a file that the run wrote before it was interrupted, and so is no input of its."""
        return source.data is None and os.path.abspath(source.path) in self._own  # noqa: PTH100 - as above

    def announce(self, path: str, output: Path) -> None:
        """Note one more file that is to be written for the image `path`."""
        self._write({"event": "file", "at": _now(), "path": path, "writes": [os.fspath(output)]})

    def settle(self, record: Record) -> None:
        """Note what came of an image; in input order. What the file says already is not said again."""
        self._settled[record.path] += 1
        key = record.path, self._settled[record.path]
        known = self._outcome(key) or {}
        is_recalled = key in self._recalled
        since, state = (None, self._recalled.pop(key)) if is_recalled else self._under_way.pop(key, (None, None))
        if is_recalled and known.get("record") == _to_plain(to_keys(record)):  # what was filed may go elsewhere now
            return
        outcome = _to_plain(_describe(record, state))
        if {name: known.get(name) for name in outcome} == outcome:
            return
        number = {"number": key[1]} if key[1] > 1 else {}
        seconds = {} if since is None else {"seconds": round(time.monotonic() - since, 3)}
        self._write({**outcome, **number, "at": _now(), **seconds})

    def end(self, tally: Tally) -> None:
        """Note that the run is over."""
        self._write({"event": "end", "at": _now(), **asdict(tally)})

    def _open(self, mode: str) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self._path, mode)
            self._reader = self._path.open("rb")
        except OSError as error:
            raise UsageError(f"{self._path} cannot be written: {error.strerror}. Name another file.") from error
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                reason = f"Another process is at the run of {self._path}. Wait for its end, or stop it."
                raise UsageError(reason) from error
            except OSError:  # some network drives have no locks; that is no reason to do without a report
                pass

    def _write(self, line: Mapping[str, Any]) -> None:
        data = memoryview(json.dumps(line, allow_nan=False).encode("ascii") + b"\n")
        with self._lock:
            try:
                if self._failure:
                    raise self._failure
                while data:
                    data = data[self._file.write(data) :]
            except OSError as error:
                self._failure = error
                raise JournalFailed(f"{self._path} cannot be written: {error.strerror}.") from error

    def _take_up(self) -> None:
        """Learn how far the run came; mend the file's end, and remove what was left half-written."""
        runs: set[str] = set()
        writing: dict[str | None, set[str]] = {}  # what may be half-written, by image; of all together by None
        for offset, line in self._lines():
            try:
                match line["event"]:
                    case "run" | "resumed":
                        self._check(line)
                        runs.add(line["temporary"])
                        writing[None] = set(line["writes"])
                    case "read" | "file":
                        self.begun.update(line["writes"])
                        writing.setdefault(line["path"], set()).update(line["writes"])
                    case "done" | "skipped" | "failed":
                        self._outcomes[line["path"], line.get("number", 1)] = offset
                        self.begun -= _not_ours(line["record"], writing.pop(line["path"], ()))
            except (KeyError, TypeError, AttributeError) as error:
                raise self._damaged(offset) from error
        if not runs:
            raise UsageError(f"{self._path} holds no run yet. Remove it, and begin the run.")
        for folder in {Path(output).parent for outputs in writing.values() for output in outputs}:
            for temporary in temporaries(folder, runs):
                with suppress(OSError):
                    temporary.unlink()

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each line and where it begins; cut off a last one that is not whole."""
        offset = 0
        for data in self._reader:
            try:
                line = json.loads(data)
                whole = data.endswith(b"\n") and isinstance(line, dict) and "event" in line
            except ValueError:
                whole = False
            if not whole and self._reader.read(1):
                raise self._damaged(offset)
            if not whole:
                self._file.truncate(offset)
                return
            yield offset, line
            offset += len(data)

    def _damaged(self, offset: int) -> UsageError:
        advice = "Begin another; with --skip-existing it leaves what is written as it is."
        return UsageError(f"{self._path} is no report of a run, or is damaged at byte {offset}. {advice}")

    def _check(self, began: Mapping[str, Any]) -> None:
        for name, value in self._run.items():
            if began.get(name) != value:
                what = f"The run of {self._path} had another {name}: {began.get(name)!r}, not {value!r}."
                # The model's comes last: then all else is as it was.
                way = "Bring that model back" if name == "sha256" else "Go on with it by `attnimg resume`"
                raise UsageError(f"{what} {way}, or begin another.")

    def _outcome(self, key: Key) -> dict[str, Any] | None:
        """Return what came of an image before the run was interrupted."""
        if key not in self._outcomes:
            return None
        with self._lock:
            self._reader.seek(self._outcomes[key])
            return dict(json.loads(self._reader.readline()))

    def _recall(self, key: Key, state: State) -> Record | None:
        """Return the record of an image that was done, where all is as it was then."""
        outcome = self._outcome(key)
        if outcome is None or outcome["event"] != "done" or state is None:
            return None
        try:
            same = ("sha256" in file and fingerprint(file["path"]) == file for file in outcome["files"])
            if outcome["input"] == state and all(same):
                return from_keys(self._kind, outcome["record"])
        except (KeyError, TypeError):  # what a damaged line says is done again
            pass
        return None


def read_run(path: Path) -> dict[str, Any]:
    """Return what describes the run of a journal. UsageError: it is none."""
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


def _describe(record: Record, state: State) -> dict[str, Any]:
    outcome: dict[str, Any] = {"path": record.path, "input": state, "record": to_keys(record)}
    match record:
        case Failed():
            return {"event": "failed", **outcome}
        case Skipped():
            return {"event": "skipped", **outcome}
        case _:
            return {"event": "done", **outcome, "files": [fingerprint(path) for path in written_files(record)]}


def _not_ours(record: Mapping[str, Any], outputs: Iterable[str]) -> set[str]:
    """Return the output that someone else's file turned out to be, whom a resumed run must not rob of it either."""
    error = record.get("error", {"kind": None})
    return {output for output in outputs if error["kind"] == "exists" and error["message"].startswith(f"{output} is")}


def _to_plain(line: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(line, default=asdict))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
