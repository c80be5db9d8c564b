"""The journal of a run in a file: images begun and their outcomes, so that an interrupted run can be resumed.

One JSON object per line. `run` and `resumed` describe the process that wrote the lines below them; `read` names an
image and the files that will be written for it, before any of them is; `file` names one more; `done`, `skipped` and
`failed` hold the image's record, and `taken` names one of its files that belongs to somebody else; `end` holds the
counts. A line is handed to the system before the step that it announces, so a killed process loses none. The last
outcome of an image counts. An image is done only if its input (size, time) and its files (size, SHA-256) are unchanged;
failed images are tried again. The file is created with the first image: a run that finds none leaves no report.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from io import FileIO
from pathlib import Path
from typing import Any

from attnimg.errors import UsageError
from attnimg.files.outputs import Outputs
from attnimg.files.source import Source
from attnimg.files.state import FileStamp, fingerprint
from attnimg.files.write import RUN, temporaries
from attnimg.pipeline.journal.journal import Admit, Journal, JournalFailed
from attnimg.pipeline.journal.lines import as_json, describe_outcome, encode_line, has_not_begun, now, write_whole
from attnimg.records import Done, Record, Tally
from attnimg.version import __version__

try:
    import fcntl
except ImportError:  # on Windows, two processes can resume one run at the same time
    fcntl = None  # type: ignore[assignment]

Key = tuple[str, int]  # a path and the number of its occurrence, from 1: a list may name a path twice


class FileJournal(Journal):
    """A journal in a file.

    run: description of the run, JSON values; its `writes` are files that it writes once, of all images together.
    kind: type of the records of images that are done. resume: continue the run that the file holds.

    UsageError: the file exists and holds more than a part of a first line; or, with `resume`, it does not exist, is not
    a journal, belongs to another run, or is in use.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], kind: type[Done], *, resume: bool) -> None:
        self._path, self._run, self._kind, self._resume = path, run, kind, resume
        self._lock = threading.Lock()  # the feeder's thread enters images, the calling thread their outcomes
        self._failure: OSError | None = None  # nothing is written after it, as it may have left half a line
        self._admitted, self._settled = Counter[str](), Counter[str]()
        # By image: time of its admission (monotonic; None: its record was recalled), and its input's stamp.
        self._under_way: dict[Key, tuple[float | None, FileStamp | None]] = {}
        self._outcomes: dict[Key, int] = {}  # offsets of their lines in the file
        self._header: dict[str, Any] | None = None  # line to be written before the next one
        self.begun: dict[str, str] = {}
        self._own_outputs: set[str] = set()  # absolute paths of those begun
        if not resume:
            self._check_free()
        elif not os.path.lexists(path) or has_not_begun(path):
            raise UsageError(f"{path} does not exist or holds no run yet. Leave out --resume to begin the run.")
        else:
            self._open("ab")
            self._recover()
            self._own_outputs = {os.path.abspath(output) for output in self.begun}  # noqa: PTH100 - links as named

    def start(self) -> None:
        """Prepare the line that begins or resumes the run; it is written together with the next one."""
        event = "resumed" if self._resume else "run"
        self._header = {"event": event, "at": now(), "attnimg": __version__, "temporary": RUN, **self._run}

    def wrap_admit(self, admit: Admit) -> Admit:
        """Wrap `admit`: enter each image that will be read, and return the former record of one that is done."""
        admit = super().wrap_admit(admit)

        def admit_entered(source: Source) -> Record | Outputs:
            key = _count(self._admitted, source.path)
            admitted = admit(source)  # also of an image that is done: it claims the names
            if not isinstance(admitted, dict):
                return admitted
            stamp = FileStamp.of(source)
            if (record := self._recall(key, stamp)) is not None:
                self._under_way[key] = None, stamp
                return record
            self._under_way[key] = time.monotonic(), stamp
            writes = [os.fspath(output.path) for output in admitted.values()]
            self._write({"event": "read", "at": now(), "path": source.path, "writes": writes})
            return admitted

        return admit_entered

    def is_own_output(self, source: Source) -> bool:
        """Whether a source is a file that the run wrote before it was interrupted, and therefore not an input."""
        return source.data is None and os.path.abspath(source.path) in self._own_outputs  # noqa: PTH100 - as above

    def announce(self, path: str, output: Path) -> None:
        """Enter one more file that will be written for the image `path`."""
        self._write({"event": "file", "at": now(), "path": path, "writes": [os.fspath(output)]})

    def record_outcome(self, record: Record) -> None:
        """Enter the record of an image, in input order, unless the file holds it already."""
        key = _count(self._settled, record.path)
        since, stamp = self._under_way.pop(key, (None, None))
        known = self._outcome(key) or {}
        if since is None and known.get("record") == as_json(record.to_dict()):  # a recalled image may fail now
            return
        outcome = as_json(describe_outcome(record, stamp))
        if outcome.items() <= known.items() and "taken" not in outcome:  # each `read` of such a file needs its `taken`
            return
        number = {"number": key[1]} if key[1] > 1 else {}
        seconds = {} if since is None else {"seconds": round(time.monotonic() - since, 3)}
        self._write({**outcome, **number, "at": now(), **seconds})

    def end(self, tally: Tally) -> None:
        """Enter the end of the run."""
        self._write({"event": "end", "at": now(), **asdict(tally)})

    def _check_free(self) -> None:
        if os.path.lexists(self._path) and not has_not_begun(self._path):
            advice = "Continue its run with `attnimg resume`, or name another file."
            raise UsageError(f"{self._path} exists. {advice}")

    def _create(self) -> None:
        self._open("ab" if os.path.lexists(self._path) else "xb")
        self._check_free()  # again: another process may have been faster
        self._file.truncate(0)

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
                reason = f"Another process is using {self._path}. Wait until it ends, or stop it."
                raise UsageError(reason) from error
            except OSError:  # some network drives have no locks; the report is worth having without
                pass

    def _write(self, line: Mapping[str, Any]) -> None:
        data = encode_line(line)
        with self._lock:
            if self._header is not None:
                if not self._resume:
                    self._create()
                data, self._header = encode_line(self._header) + data, None
            try:
                if self._failure:
                    raise self._failure
                write_whole(self._file, data)
            except OSError as error:
                self._failure = error
                raise JournalFailed(f"{self._path} cannot be written: {error.strerror}.") from error

    def _recover(self) -> None:
        """Read how far the run came, cut off an incomplete last line, and remove temporary files that it left."""
        runs: set[str] = set()
        writing: dict[str | None, set[str]] = {}  # unfinished files by image; None: of all together
        for offset, line in self._lines():
            try:
                match line["event"]:
                    case "run" | "resumed":
                        self._check(line)
                        runs.add(line["temporary"])
                        writing[None] = set(line["writes"])
                    case "read" | "file":
                        self.begun.update(dict.fromkeys(line["writes"], line["path"]))
                        writing.setdefault(line["path"], set()).update(line["writes"])
                    case "done" | "skipped" | "failed":
                        self._outcomes[line["path"], line.get("number", 1)] = offset
                        writing.pop(line["path"], None)
                        if "taken" in line:
                            self.begun.pop(line["taken"], None)
            except (KeyError, TypeError) as error:
                raise self._damaged_error(offset) from error
        if not runs:
            raise self._damaged_error(0)
        for folder in {Path(output).parent for outputs in writing.values() for output in outputs}:
            for temporary in temporaries(folder, runs):
                with suppress(OSError):
                    temporary.unlink()

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each line with its offset; cut off a last one that is incomplete."""
        offset = 0
        for data in self._reader:
            try:
                line = json.loads(data)
                complete = data.endswith(b"\n") and isinstance(line, dict) and "event" in line
            except ValueError:
                complete = False
            if not complete and (offset == 0 or self._reader.read(1)):
                raise self._damaged_error(offset)
            if not complete:
                self._file.truncate(offset)
                return
            yield offset, line
            offset += len(data)

    def _damaged_error(self, offset: int) -> UsageError:
        advice = "Start a new run with another report; with --skip-existing it keeps the files written so far."
        return UsageError(f"{self._path} is not the report of a run, or is damaged at byte {offset}. {advice}")

    def _check(self, began: Mapping[str, Any]) -> None:
        for name, value in self._run.items():
            if began.get(name) != value:
                # The model's SHA-256 comes last: all else is equal then.
                way = "Restore that model file" if name == "sha256" else "Continue that run with `attnimg resume`"
                reason = f"{self._path} belongs to another run. Its {name}: {began.get(name)!r}; now: {value!r}."
                raise UsageError(f"{reason} {way}, or start a new run with another report.")

    def _outcome(self, key: Key) -> dict[str, Any] | None:
        """Return the last line of an image's outcomes before the run was interrupted, if any."""
        if key not in self._outcomes:
            return None
        with self._lock:
            self._reader.seek(self._outcomes[key])
            return dict(json.loads(self._reader.readline()))

    def _recall(self, key: Key, stamp: FileStamp | None) -> Record | None:
        """Return the former record of an image, if it was done and its input and files are unchanged."""
        outcome = self._outcome(key)
        if outcome is None or outcome["event"] != "done" or stamp is None:
            return None
        try:
            same = ("sha256" in file and fingerprint(file["path"]) == file for file in outcome["files"])
            if outcome["input"] == asdict(stamp) and all(same):
                return self._kind.from_dict(outcome["record"])
        except (KeyError, TypeError):  # a damaged line: the image is done again
            pass
        return None


def _count(seen: Counter[str], path: str) -> Key:
    """Count one more occurrence of a path, and return its key."""
    seen[path] += 1
    return path, seen[path]
