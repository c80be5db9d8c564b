"""The log of a run: a CSV file with one row per epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from attnimg.files.write import replacing


class Log:
    """Appends rows to a CSV file whose columns are those of the first row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(self, epochs: int) -> None:
        """Drop the rows after the first `epochs`, as a resumed run writes them again; replaces the file in one step."""
        if self.path.is_file():
            lines = self.path.read_text().splitlines(keepends=True)
            with replacing(self.path) as temporary:
                temporary.write_text("".join(lines[: 1 + epochs]))

    def read(self) -> list[dict[str, str]]:
        """Return the rows that were written so far."""
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def write(self, row: Mapping[str, object]) -> None:
        """Append one row."""
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
