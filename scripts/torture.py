"""Kill a run at random moments, resume it each time, and compare the result with that of an undisturbed run.

    python scripts/torture.py classify enhance segment --images 10000 --kills 20

It makes small images, one in fifty of them hostile, and runs each command once without a disturbance. A second run
with --report gets SIGKILL while it starts, while it works, and at its end, and is continued by `attnimg resume`. Both
must give the same: one record per image (scores to 1e-4), the same files byte by byte, and no other files. By the
report, no image that was done was done again. The exit status is 1 if anything differs.
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
"""The commands and their options. Both runs have the same relative paths, so that their records can be equal."""

PHOTOS, REPORT, RECORDS, LOG = "../photos", "report.jsonl", "records.jsonl", "log"
OUTCOMES = ("done", "failed", "skipped")
POLL = 0.01  # seconds
LATEST = 0.05  # seconds from an outcome to a kill


class Phase(NamedTuple):
    """The moment of a kill: `seconds` after the report holds `outcomes`, or if that is 0, after the process started."""

    outcomes: int
    seconds: float


@dataclass
class Torture:
    """The two runs of one command on the photos below `folder`. failing: relative paths of photos that must fail."""

    folder: Path
    command: str
    options: Sequence[str]
    failing: set[str]
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.undisturbed = self.folder / f"{self.command}-undisturbed"
        self.killed = self.folder / f"{self.command}-killed"
        for folder in (self.undisturbed, self.killed):
            folder.mkdir()
        self._outcomes, self._counted = 0, 0  # outcomes in the first `_counted` bytes of the report
        self.begin = [self.command, PHOTOS, *self.options, "--format", "jsonl"]

    def run(self, kills: int, random: Random) -> None:
        """Run once without kills, and once with so many, resumed to its end."""
        began = time.monotonic()
        process = self._start(self.undisturbed, self.begin)
        while not (records := self.undisturbed / RECORDS).stat().st_size and process.poll() is None:
            time.sleep(POLL)
        startup = time.monotonic() - began
        status = process.wait()
        count = len(records.read_bytes().splitlines())
        for phase in plan(kills, count, startup, random):
            self._kill(phase, count)
        while (last := self._continue().wait()) != status:
            raise SystemExit(f"The run ended with status {last}, not {status}: {(self.killed / LOG).read_text()}")

    def _start(self, folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
        with (folder / RECORDS).open("wb") as out, (folder / LOG).open("wb") as err:
            command = [sys.executable, "-P", "-m", "attnimg", *arguments]
            return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def _continue(self) -> subprocess.Popen[bytes]:
        report = self.killed / REPORT
        if not report.exists() or b"\n" not in report.read_bytes():  # killed before the line that describes the run
            return self._start(self.killed, [*self.begin, "--report", REPORT])
        return self._start(self.killed, ["resume", REPORT])

    def _kill(self, phase: Phase, count: int) -> None:
        """Kill the run once. If it ends before the kill, start it again and kill it earlier."""
        outcomes, seconds, share = *phase, 0.9
        while True:
            process, began, reported, due = self._continue(), time.monotonic(), None, None
            size, known = self._size(), self._count_outcomes()
            while process.poll() is None and (due is None or time.monotonic() < due):
                if reported is None and self._size() != size:
                    reported = time.monotonic()  # its first line
                # Outcomes of earlier processes do not count: wait for one more, if there is one.
                wanted = min(count, max(outcomes, known + 1))
                if due is None and (outcomes == 0 or (reported and self._count_outcomes() >= wanted)):
                    due = time.monotonic() + seconds
                time.sleep(POLL)
            process.kill()
            if process.wait() == -signal.SIGKILL:
                break
            ended, reported = time.monotonic(), reported or began
            outcomes, seconds, share = 0, reported - began + (ended - reported) * share, share * 0.8
        where = "start" if reported is None else "end" if self._count_outcomes() == count else "middle"
        self.kills[where] += 1

    def _size(self) -> int:
        report = self.killed / REPORT
        return report.stat().st_size if report.exists() else 0

    def _count_outcomes(self) -> int:
        """Count the outcomes in the report; reads only its new part."""
        if (self.killed / REPORT).exists():
            with (self.killed / REPORT).open("rb") as report:
                report.seek(self._counted)
                lines, newline, _ = report.read().rpartition(b"\n")
            self._counted += len(lines + newline)
            self._outcomes += sum(lines.count(b'{"event": "%s"' % event.encode()) for event in OUTCOMES)
        return self._outcomes

    def _sessions(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the lines of each process in the report; its last line may be cut off."""
        report, session = self.killed / REPORT, list[dict[str, Any]]()
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

    def differences(self) -> Iterator[str]:
        """Yield a sentence for each difference between the killed run and the undisturbed one."""
        expected, found = (read_records(folder / RECORDS) for folder in (self.undisturbed, self.killed))
        photos = sorted(os.fspath(p) for p in (self.folder / "photos").rglob("*") if p.is_file())
        named = sorted(os.path.normpath(self.killed / record["path"]) for record in found)
        if named != photos:
            yield f"{len(found)} records for {len(photos)} photos"
        for before, after in zip(expected, found, strict=False):
            if not is_equal(before, after):
                yield f"another record: {before} became {after}"
        failed = {os.path.relpath(record["path"], PHOTOS) for record in found if "error" in record}
        if failed != self.failing:
            yield f"unexpected or missing failures: {failed ^ self.failing}"
        files, others = hash_files(self.undisturbed), hash_files(self.killed)
        for name in sorted(files.keys() | others.keys()):
            if files.get(name) != others.get(name):
                what = "differs" if name in files and name in others else "is lost" if name in files else "is left over"
                yield f"the file {name} {what}"
        yield from self._differences_in_report(found)

    def _differences_in_report(self, found: list[dict[str, Any]]) -> Iterator[str]:
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
                yield f"another record in the report: {noted}; printed: {record}"

    def count_repeated(self) -> int:
        """Count the images read more than once: those under way when a process was killed, and failures."""
        reads = Counter(line["path"] for session in self._sessions() for line in session if line["event"] == "read")
        return sum(times > 1 for times in reads.values())


def plan(kills: int, count: int, startup: float, random: Random) -> list[Phase]:
    """Plan the kills: a fifth in the first `startup` seconds, a fifth at the end, the rest over the `count` images."""
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
    """Whether two JSON values are equal, fractions to 1e-4."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-4
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_equal, one, other))
    return type(one) is type(other) and bool(one == other)


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder by its path, temporary files too; without report, records, log."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in (REPORT, RECORDS, LOG)]
    return {os.fspath(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in paths}


def main() -> None:
    """Run and compare the commands, and print a table and all differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the images and of the kills")
    parser.add_argument("--option", action="append", default=[], help="another word for each command line")
    args = parser.parse_args()
    random = Random(args.seed)
    differences = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        failing = make_corpus(folder / "photos", args.images, random)
        heads = ("command", "images", "hostile", "killed: start", "middle", "end", "repeated", "differences", "minutes")
        sys.stdout.write("  ".join(heads) + "\n")
        for command in args.commands:
            began = time.monotonic()
            torture = Torture(folder, command, [*COMMANDS[command], *args.option], failing)
            torture.run(args.kills, random)
            found = list(torture.differences())
            differences += found
            kills = [torture.kills[phase] for phase in ("start", "middle", "end")]
            minutes = round((time.monotonic() - began) / 60, 1)
            row = (command, args.images, len(failing), *kills, torture.count_repeated(), len(found), minutes)
            cells = (f"{cell:>{len(head)}}" for cell, head in zip(row, heads, strict=True))
            sys.stdout.write("  ".join(cells) + "\n")
            sys.stdout.flush()
    for difference in differences:
        sys.stdout.write(f"{difference}\n")
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
