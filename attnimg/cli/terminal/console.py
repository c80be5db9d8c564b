"""The terminal: results on stdout, and on stderr the log and the last line.

A `Console` is handed in, as httpie's Environment is, so that a test can replace the terminal.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, TextIO, cast

from attnimg.cli.terminal.progress import Bar, Log, Progress
from attnimg.cli.terminal.status import OutputClosed
from attnimg.cli.terminal.text import spell_controls
from attnimg.errors import OutputFailed


@dataclass(frozen=True, slots=True)
class Console:
    """Two streams. out: UTF-8, opened with newline="". quiet: nothing but errors goes to err."""

    out: TextIO
    err: TextIO
    quiet: bool = False

    @classmethod
    def of_process(cls, quiet: bool = False) -> Console:
        """Return the console of this process."""
        for stream in (sys.stdout, sys.stderr):
            # A name may hold anything; the terminal's own encoding must not end the command.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")  # type: ignore[union-attr]
        return cls(sys.stdout, sys.stderr, quiet)

    @property
    def stdout(self) -> BinaryIO:
        """stdout for bytes; it raises what `printing` raises."""
        return cast("BinaryIO", _Bytes(self))

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return shutil.get_terminal_size().columns

    def write(self, text: str) -> None:
        """Write text to stdout unchanged. Printers of records use a console as their stream."""
        with self.printing():
            self.out.write(text)

    def flush(self) -> None:
        """Flush stdout."""
        with self.printing():
            self.out.flush()

    def log(self, line: str) -> None:
        """Write a line to stderr, unless quiet."""
        if not self.quiet:
            self.error(line)

    def error(self, line: str) -> None:
        """Write a line to stderr, even if quiet."""
        with suppress(OSError):  # closed, or on a full disk; the results matter more
            self.err.write(spell_controls(line) + "\n")
            self.err.flush()

    def print(self, line: str) -> None:
        """Print a line of results."""
        self.write(spell_controls(line) + "\n")
        self.flush()

    @contextmanager
    def printing(self) -> Iterator[None]:
        """Turn the errors of writing to stdout into `OutputClosed` and `OutputFailed`."""
        try:
            yield
        except BrokenPipeError as error:
            raise OutputClosed from error
        except OSError as error:
            raise OutputFailed(
                f"The results cannot be written: {error.strerror}. Make room, or name another file."
            ) from error

    @contextmanager
    def progress(self, unit: str) -> Iterator[Progress]:
        """Show progress on stderr: a bar on a terminal, else a line from time to time."""
        progress = Progress()
        if not self.quiet:
            progress = Bar(self.err, unit, shared=self.out.isatty()) if self.err.isatty() else Log(self.err, unit)
        with closing(progress):
            yield progress


class _Bytes:
    """The console's stdout, for bytes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, data: bytes | memoryview) -> int:
        with self._console.printing():
            return self._console.out.buffer.write(data)

    def flush(self) -> None:
        with self._console.printing():
            self._console.out.buffer.flush()
