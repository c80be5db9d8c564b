"""Find the images that a command is to look at, in order, while it already works on the first ones (contract C1)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from io import FileIO
from itertools import chain
from pathlib import PurePath
from typing import BinaryIO

from attnimg.errors import UsageError
from attnimg.images.rules import Rules
from attnimg.images.source import Source

CHUNK = 1 << 16  # bytes of a list read at once


def find(
    inputs: Iterable[str | bytes | os.PathLike[str]] = (),
    rules: Rules | None = None,
    *,
    from_file: str | None = None,
    nul: bool = False,
    stdin: BinaryIO | None = None,
) -> Iterator[Source]:
    """Yield the images of files, folders, patterns and `-`, then those of a list, each input's sorted by path.

    rules: which files count, and what they go by; without it, those of `Rules()`. from_file: a file of paths, or `-`:
    one per line, or NUL-separated with `nul`; taken literally, streamed. stdin: stands in for the process's own.

    Raises UsageError when the list cannot be read. What is wrong with one input is that `Source`'s error.
    """
    stream = stdin or sys.stdin.buffer
    listed = _read_list(from_file, stream, b"\0" if nul else b"\n")
    rules = rules or Rules()
    for given in inputs:
        path = os.fsdecode(given)
        if path == "-":
            yield Source("-", PurePath("stdin"), data=stream.read())
        else:
            yield from rules.named(path)
    for line in listed:
        yield from rules.listed(os.fsdecode(line))


def _read_list(path: str | None, stdin: BinaryIO, separator: bytes) -> Iterator[bytes]:
    """Return the lines of a list; a list that cannot be opened is told of at once, before any image is found."""
    if path is None:
        return iter(())
    try:
        stream: BinaryIO = stdin if path == "-" else FileIO(path)
        # What is there, rather than a full buffer: a line counts as soon as it is written.
        read = getattr(stream, "read1", stream.read)
        first = b"" if path == "-" else read(CHUNK)
    except OSError as error:
        raise UsageError(
            f"The list {path} cannot be read: {error.strerror}. Name a file of paths, or - for stdin."
        ) from error
    return _split(chain([first] if first else [], iter(partial(read, CHUNK), b"")), separator)


def _split(chunks: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(separator)
        yield from filter(None, lines)
    if rest:
        yield rest
