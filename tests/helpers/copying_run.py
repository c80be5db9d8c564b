"""A run that copies photos and keeps a journal, within this process: it can be killed after any image."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from attnimg.errors import ImageError
from attnimg.files.outputs import OutputNames
from attnimg.files.source import Source
from attnimg.files.write import write_bytes
from attnimg.pipeline.journal.file import FileJournal
from attnimg.records import Enhanced, Failed, Record, Tally

ODD = os.fsdecode(b"caf\xe9 \n2.png")
DESCRIPTION = {"arguments": ["copy"], "folder": "/photos", "report": "/r.jsonl", "writes": [], "sha256": "0" * 64}


class Copying:
    """A run that copies photos, in the order of the stream: all are admitted, then each is written and settled."""

    def __init__(self, folder: Path) -> None:
        self.photos, self.out, self.report = folder / "photos", folder / "out", folder / "r.jsonl"
        self.photos.mkdir()
        self.names = ["a.png", ODD, "bad.png", "d.png"]
        for name in self.names:
            (self.photos / name).write_bytes(b"bad" if "bad" in name else os.fsencode(name) * 50)
        self.written: list[str] = []  # names, by the last run

    def open(self, *, resume: bool = False, **changed: Any) -> FileJournal:
        return FileJournal(self.report, {**DESCRIPTION, **changed}, Enhanced, resume=resume)

    def run(self, *, resume: bool = False, stop_after: int | None = None) -> list[Record]:
        """Return the records. stop_after: how many images are settled before the process is killed."""
        journal = self.open(resume=resume)
        try:
            journal.start()
            sources = [Source(os.fspath(self.photos / name), PurePath(name)) for name in self.names]
            placer, tally, self.written = OutputNames(self.out, begun=journal.begun), Tally(), []
            admit = journal.wrap_admit(lambda source: {"output": placer.place(source, ".png")})
            admitted: list[Any] = []
            for source in sources:
                try:
                    admitted.append(admit(source))
                except ImageError as error:
                    admitted.append(Failed.of(source.path, error))
            for source, found in list(zip(sources, admitted, strict=True))[:stop_after]:
                record = self._copy(source, found["output"]) if isinstance(found, dict) else found
                tally.add(record)
                journal.record_outcome(record)
            if stop_after is None:
                journal.end(tally)
            return [found for found in admitted if not isinstance(found, dict)] if stop_after else self.records()
        finally:
            kill(journal)

    def _copy(self, source: Source, target: Any) -> Record:
        self.written.append(source.relative.name)
        data = Path(source.path).read_bytes()
        if data == b"bad":
            return Failed(source.path, "damaged", "It is bad.")
        try:
            write_bytes(target, data)
        except ImageError as error:
            return Failed.of(source.path, error)
        return Enhanced(source.path, os.fspath(target.path), "copy", 3, 2)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.report.read_bytes().splitlines()]

    def records(self) -> list[Any]:
        """Return the last record that the report holds of each photo, by the photo's name."""
        last = {line["path"]: line["record"] for line in self.lines() if "record" in line}
        return [last[os.fspath(self.photos / name)] for name in self.names]

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


def kill(journal: FileJournal) -> None:
    """Let go of the file, as the system does for a process that is killed."""
    with suppress(AttributeError):  # it was never opened
        journal._file.close()
        journal._reader.close()
