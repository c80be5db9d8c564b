"""The log of a run: one CSV row per epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


class Log:
    """Appends rows to a CSV file whose columns are those of the first row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resume(self, epochs: int) -> None:
        """Drop the rows from epoch `epochs` on, which a resumed run writes again."""
        rows = [row for row in self.read() if int(row["epoch"]) < epochs]
        self.path.unlink(missing_ok=True)
        for row in rows:
            self.write(row)

    def read(self) -> list[dict[str, str]]:
        """Return the rows so far."""
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def write(self, row: Mapping[str, object]) -> None:
        """Append one row; epoch 0 begins a new file."""
        fresh = not self.path.is_file() or str(row["epoch"]) == "0"
        with self.path.open("w" if fresh else "a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
