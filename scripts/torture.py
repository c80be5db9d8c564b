"""Kill a run at random moments and resume it, again and again; then see whether it can be told from an undisturbed one.

    python scripts/torture.py classify enhance segment --images 10000 --kills 20

It makes small images, of which one in fifty is hostile, and lets each command run through once. A second run with
--report is sent SIGKILL while it starts, while it works, and at its end, and goes on by `attnimg resume`. What that
leaves must be the same: one record per image, equal (scores to 1e-4); the files written, byte for byte; nothing else;
and by the report, nothing that was done before was done again. The exit status is 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

sys.path.insert(0, os.fspath(Path(__file__).parent))
from torture_corpus import make_corpus

COMMANDS = {
    "classify": ("--overlay", "-o", "out", "--sort-into", "sorted"),
    "enhance": ("-o", "out"),
    "segment": ("-o", "out", "--coco", "coco.json", "--summary", "summary.csv", "--preview"),
}
"""The commands and their options. They run in folders of equal shape, so that all paths are the same."""

PHOTOS, REPORT, RECORDS, LOG = "../photos", "report.jsonl", "records.jsonl", "log"
OUTCOMES = ("done", "failed", "skipped")
POLL = 0.01  # seconds
LATEST = 0.05  # seconds from an outcome to a kill


class Phase(NamedTuple):
    """When a run is to be killed: `seconds` after the report holds `outcomes`; 0: after the process was started."""

    outcomes: int
    seconds: float


@dataclass
class Torture:
    """One command's two runs, below one folder that holds the photos. options: all but the inputs and the report."""

    folder: Path
    command: str
    options: Sequence[str]
    failing: set[str]
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.calm, self.harsh = self.folder / f"{self.command}-undisturbed", self.folder / f"{self.command}-killed"
        for folder in (self.calm, self.harsh):
            folder.mkdir()
        self._outcomes, self._counted = 0, 0  # in how many bytes of the report
        self.begin = [self.command, PHOTOS, *self.options, "--format", "jsonl"]

    def run(self, kills: int, random: Random) -> None:
        """Run once undisturbed and once with so many kills, and resume to the end."""
        began = time.monotonic()
        calm = self._start(self.calm, self.begin)
        while not (records := self.calm / RECORDS).stat().st_size and calm.poll() is None:
            time.sleep(POLL)
        startup = time.monotonic() - began
        status = calm.wait()
        count = len(records.read_bytes().splitlines())
        for phase in plan(kills, count, startup, random):
            self._kill(phase, count)
        while (last := self._go_on().wait()) != status:
            raise SystemExit(f"The run ended with status {last}, not {status}: {(self.harsh / LOG).read_text()}")

    def _start(self, folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
        with (folder / RECORDS).open("wb") as out, (folder / LOG).open("wb") as err:
            command = [sys.executable, "-P", "-m", "attnimg", *arguments]
            return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)  # noqa: S603

    def _go_on(self) -> subprocess.Popen[bytes]:
        report = self.harsh / REPORT
        if not report.exists() or b"\n" not in report.read_bytes():  # killed before it said what is run
            return self._start(self.harsh, [*self.begin, "--report", REPORT])
        return self._start(self.harsh, ["resume", REPORT])

    def _kill(self, phase: Phase, count: int) -> None:
        """Kill the run once. One that ends before is begun again, and killed between its first line and its end."""
        outcomes, seconds, share = *phase, 0.9
        while True:
            process, began, said, due = self._go_on(), time.monotonic(), None, None
            size, known = self._size(), self._count_outcomes()
            while process.poll() is None and (due is None or time.monotonic() < due):
                if said is None and self._size() != size:
                    said = time.monotonic()
                # What is known already says nothing of this process; so one more, unless there is none.
                wanted = min(count, max(outcomes, known + 1))
                if due is None and (outcomes == 0 or (said and self._count_outcomes() >= wanted)):
                    due = time.monotonic() + seconds
                time.sleep(POLL)
            process.kill()
            if process.wait() == -signal.SIGKILL:
                break
            ended, said = time.monotonic(), said or began
            outcomes, seconds, share = 0, said - began + (ended - said) * share, share * 0.8
        where = "start" if said is None else "end" if self._count_outcomes() == count else "middle"
        self.kills[where] += 1

    def _size(self) -> int:
        report = self.harsh / REPORT
        return report.stat().st_size if report.exists() else 0

    def _count_outcomes(self) -> int:
        """Count those in the report, of which only what is new is read."""
        if (self.harsh / REPORT).exists():
            with (self.harsh / REPORT).open("rb") as report:
                report.seek(self._counted)
                lines, newline, _ = report.read().rpartition(b"\n")
            self._counted += len(lines + newline)
            self._outcomes += sum(lines.count(b'{"event": "%s"' % event.encode()) for event in OUTCOMES)
        return self._outcomes

    def _sessions(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the lines that each process wrote into the report; a last one may be cut."""
        report, session = self.harsh / REPORT, list[dict[str, Any]]()
        for data in report.read_bytes().splitlines() if report.exists() else ():
            try:
                line = json.loads(data)
            except ValueError:
                continue
            if line["event"] in ("run", "resumed") and session:
                yield session
                session = []
            session.append(line)
        if session:
            yield session

    def complaints(self) -> Iterator[str]:
        """Yield, in a sentence each, what tells the run that was killed from the undisturbed one."""
        expected, found = (read_records(folder / RECORDS) for folder in (self.calm, self.harsh))
        photos = sorted(os.fspath(p) for p in (self.folder / "photos").rglob("*") if p.is_file())
        named = sorted(os.path.normpath(self.harsh / record["path"]) for record in found)
        if named != photos:
            yield f"{len(found)} records for {len(photos)} photos"
        for before, after in zip(expected, found, strict=False):
            if not is_equal(before, after):
                yield f"another record: {before} became {after}"
        failed = {os.path.relpath(record["path"], PHOTOS) for record in found if "error" in record}
        if failed != self.failing:
            yield f"failures that should not be, or are missing: {failed ^ self.failing}"
        files, others = hash_files(self.calm), hash_files(self.harsh)
        for name in sorted(files.keys() | others.keys()):
            if files.get(name) != others.get(name):
                where = "differs" if name in files and name in others else "is lost" if name in files else "is left"
                yield f"the file {name} {where}"
        yield from self._complaints_of_report(found)

    def _complaints_of_report(self, found: list[dict[str, Any]]) -> Iterator[str]:
        outcomes: dict[str, dict[str, Any]] = {}
        for session in self._sessions():
            for line in session:
                was = outcomes.get(line.get("path", ""), {}).get("event")
                if line["event"] == "read" and was == "done":
                    yield f"done twice: {line['path']}"
                if line["event"] in OUTCOMES:
                    outcomes[line["path"]] = line
        if len(outcomes) != len(found):
            yield f"{len(outcomes)} outcomes in the report of {len(found)} records"
        for record in found:
            noted = {k: v for k, v in outcomes.get(record["path"], {}).get("record", {}).items() if v is not None}
            if noted != {key: value for key, value in record.items() if not key.endswith("_b64")}:
                yield f"another record in the report: {noted}, and printed was {record}"

    def count_again(self) -> int:
        """Return how many images were read more than once: those under way when a process was killed, and failures."""
        reads = Counter(line["path"] for session in self._sessions() for line in session if line["event"] == "read")
        return sum(times > 1 for times in reads.values())


def plan(kills: int, count: int, startup: float, random: Random) -> list[Phase]:
    """Return when to kill: a fifth in the start, a fifth at the end, the others spread over the images."""
    ends = starts = max(1, kills // 5)
    middle = kills - ends - starts
    at = [int(count * (i + random.random()) / middle) for i in range(middle)]
    phases = [Phase(max(1, outcomes), random.uniform(0, LATEST)) for outcomes in at]
    for i in range(starts):
        early = Phase(0, startup * (i + random.random()) / starts)
        phases.insert(random.randrange(len(phases) + 1), early)
    late = [count - random.randrange(max(1, count // 50)) for _ in range(ends)]
    return phases + [Phase(outcomes, random.uniform(0, LATEST)) for outcomes in late]


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a run."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def is_equal(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal, fractions to 1e-4."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-4
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_equal, one, other))
    return type(one) is type(other) and bool(one == other)


def hash_files(folder: Path) -> dict[str, str]:
    """Return what was written below a folder, temporary files too, but not how the run went."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in (REPORT, RECORDS, LOG)]
    return {os.fspath(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    """Torture the commands and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the images and of the moments")
    parser.add_argument("--option", action="append", default=[], help="one more word for the commands")
    args = parser.parse_args()
    random = Random(args.seed)  # noqa: S311 - to repeat, not a secret
    told = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        failing = make_corpus(folder / "photos", args.images, random)
        heads = ("command", "images", "hostile", "killed: start", "middle", "end", "again", "differences", "minutes")
        sys.stdout.write("  ".join(heads) + "\n")
        for command in args.commands:
            began = time.monotonic()
            torture = Torture(folder, command, [*COMMANDS[command], *args.option], failing)
            torture.run(args.kills, random)
            complaints = list(torture.complaints())
            told += complaints
            kills = [torture.kills[phase] for phase in ("start", "middle", "end")]
            minutes = round((time.monotonic() - began) / 60, 1)
            row = (command, args.images, len(failing), *kills, torture.count_again(), len(complaints), minutes)
            cells = (f"{cell:>{len(head)}}" for cell, head in zip(row, heads, strict=True))
            sys.stdout.write("  ".join(cells) + "\n")
            sys.stdout.flush()
    for complaint in told:
        sys.stdout.write(f"{complaint}\n")
    sys.exit(bool(told))


if __name__ == "__main__":
    main()
