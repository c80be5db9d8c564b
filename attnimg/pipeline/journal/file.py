"""The journal of a run: what was begun and what came of it, so that an interrupted run goes on where it was.

One JSON object per line. `run` and `resumed` say who wrote what follows; `read` notes an image, and the files that are
to be written for it, before any of them is, and `file` one more; `done`, `skipped` and `failed` hold its record, and
`taken` names the one of its files that turned out to be somebody else's; `end` counts. A line is in the hands of the
system before what it announces happens, so that a killed process loses none. The last outcome of an image counts; done
is only what is as it was: the input by size and time, the files by size and SHA-256. What failed is tried again. The
file begins with the first image, so that a run that finds none leaves no report.
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
from attnimg.pipeline.journal.lines import describe, encode, is_unbegun, now, to_plain, write_whole
from attnimg.records import Done, Record, Tally
from attnimg.version import __version__

try:
    import fcntl
except ImportError:  # on Windows nothing keeps two from going on with one run
    fcntl = None  # type: ignore[assignment]

Key = tuple[str, int]  # a path, and which of its occurrences, from 1: a list may name it twice


class FileJournal(Journal):
    """A journal in a file.

    run: what describes the run, JSON values; its `writes` are the files that it writes of all images together. kind: of
    the records of images that are done. resume: go on with the run that the file holds.

    UsageError: the file is there and more than the beginning of a first line; or with `resume` is not, is no journal,
    is of another run, or in use.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], kind: type[Done], *, resume: bool) -> None:
        self._path, self._run, self._kind, self._resume = path, run, kind, resume
        self._lock = threading.Lock()  # the feeder's thread notes what is read, the calling one what came of it
        self._failure: OSError | None = None  # after which nothing is written: it may have left half a line
        self._admitted, self._settled = Counter[str](), Counter[str]()
        # Since when (monotonic; None: it was recalled, not read), and the input's state.
        self._under_way: dict[Key, tuple[float | None, FileStamp | None]] = {}
        self._outcomes: dict[Key, int] = {}  # where in the file
        self._first: dict[str, Any] | None = None  # what is to be written before the first other line
        self.begun: dict[str, str] = {}
        self._own: set[str] = set()  # the outputs in it, absolute
        if not resume:
            self._check_free()
        elif not os.path.lexists(path) or is_unbegun(path):
            raise UsageError(f"{path} is not there, or holds no run yet. Leave out --resume, and the run begins.")
        else:
            self._open("ab")
            self._take_up()
            self._own = {os.path.abspath(output) for output in self.begun}  # noqa: PTH100 - any bytes, links as named

    def start(self) -> None:
        """Be ready to create the file, or to say in it that the run goes on, as soon as there is more to say."""
        event = "resumed" if self._resume else "run"
        self._first = {"event": event, "at": now(), "attnimg": __version__, "temporary": RUN, **self._run}

    def wrap_admit(self, admit: Admit) -> Admit:
        """Return what admits sources as `admit` does, notes those that are to be read, and recalls those done."""
        admit = super().wrap_admit(admit)

        def admit_noted(source: Source) -> Record | Outputs:
            key = _count(self._admitted, source.path)
            admitted = admit(source)  # claims its names, whatever is left to do
            if not isinstance(admitted, dict):
                return admitted
            stamp = FileStamp.of(source)
            if (record := self._recall(key, stamp)) is not None:
                self._under_way[key] = None, stamp
                return record
            self._under_way[key] = time.monotonic(), stamp
            writes = [os.fspath(target.path) for target in admitted.values()]
            self._write({"event": "read", "at": now(), "path": source.path, "writes": writes})
            return admitted

        return admit_noted

    def is_own_output(self, source: Source) -> bool:
        """Tell whether a source is a file that the run wrote before it was interrupted, and so none of its inputs."""
        return source.data is None and os.path.abspath(source.path) in self._own  # noqa: PTH100 - as above

    def announce(self, path: str, output: Path) -> None:
        """Note one more file that is to be written for the image `path`."""
        self._write({"event": "file", "at": now(), "path": path, "writes": [os.fspath(output)]})

    def record_outcome(self, record: Record) -> None:
        """Note what came of an image; in input order. What the file says already is not said again."""
        key = _count(self._settled, record.path)
        since, stamp = self._under_way.pop(key, (None, None))
        known = self._outcome(key) or {}
        if since is None and known.get("record") == to_plain(
            record.to_dict()
        ):  # what was recalled may fail in its turn
            return
        outcome = to_plain(describe(record, stamp))
        if outcome.items() <= known.items() and "taken" not in outcome:  # which answers each `read` that names it
            return
        number = {"number": key[1]} if key[1] > 1 else {}
        seconds = {} if since is None else {"seconds": round(time.monotonic() - since, 3)}
        self._write({**outcome, **number, "at": now(), **seconds})

    def end(self, tally: Tally) -> None:
        """Note that the run is over."""
        self._write({"event": "end", "at": now(), **asdict(tally)})

    def _check_free(self) -> None:
        if os.path.lexists(self._path) and not is_unbegun(self._path):
            advice = "`attnimg resume` goes on with its run; or name another file."
            raise UsageError(f"{self._path} is there already. {advice}")

    def _create(self) -> None:
        self._open("ab" if os.path.lexists(self._path) else "xb")
        self._check_free()  # again, for another process may have been faster
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
                reason = f"Another process is at the run of {self._path}. Wait for its end, or stop it."
                raise UsageError(reason) from error
            except OSError:  # some network drives have no locks; that is no reason to do without a report
                pass

    def _write(self, line: Mapping[str, Any]) -> None:
        data = encode(line)
        with self._lock:
            if self._first is not None:
                if not self._resume:
                    self._create()
                data, self._first = encode(self._first) + data, None
            try:
                if self._failure:
                    raise self._failure
                write_whole(self._file, data)
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
                        self.begun.update(dict.fromkeys(line["writes"], line["path"]))
                        writing.setdefault(line["path"], set()).update(line["writes"])
                    case "done" | "skipped" | "failed":
                        self._outcomes[line["path"], line.get("number", 1)] = offset
                        writing.pop(line["path"], None)
                        if "taken" in line:
                            self.begun.pop(line["taken"], None)
            except (KeyError, TypeError) as error:
                raise self._damaged(offset) from error
        if not runs:
            raise self._damaged(0)
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
            if not whole and (offset == 0 or self._reader.read(1)):
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

    def _recall(self, key: Key, stamp: FileStamp | None) -> Record | None:
        """Return the record of an image that was done, where all is as it was then."""
        outcome = self._outcome(key)
        if outcome is None or outcome["event"] != "done" or stamp is None:
            return None
        try:
            same = ("sha256" in file and fingerprint(file["path"]) == file for file in outcome["files"])
            if outcome["input"] == asdict(stamp) and all(same):
                return self._kind.from_dict(outcome["record"])
        except (KeyError, TypeError):  # what a damaged line says is done again
            pass
        return None


def _count(seen: Counter[str], path: str) -> Key:
    """Count one more occurrence of a path, and return its key."""
    seen[path] += 1
    return path, seen[path]
