"""Iterate over the inputs of a command, in order, so that work begins before the search ends (docs/contract.md, C1)."""

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
from attnimg.files.source import Source
from attnimg.files.walk import Walker

CHUNK = 1 << 16  # bytes of a list read at once


def find(
    inputs: Iterable[str | bytes | os.PathLike[str]] = (),
    walker: Walker | None = None,
    *,
    from_file: str | None = None,
    nul: bool = False,
    stdin: BinaryIO | None = None,
) -> Iterator[Source]:
    """Yield the sources of files, folders, patterns and `-`, then those of a list; for each input sorted by path.

    walker: rules for accepting files; default `Walker()`. from_file: a file that lists paths, or `-` for stdin. Listed
    paths are literal, and are taken as they are written. nul: whether NULs separate them, instead of newlines. stdin:
    stream in place of the process's own.

    Raises UsageError if the list cannot be read. An unusable input is a source with an error.
    """
    stream = stdin or sys.stdin.buffer
    listed = _read_list(from_file, stream, b"\0" if nul else b"\n")
    walker = walker or Walker()
    for given in inputs:
        path = os.fsdecode(given)
        if path == "-":
            yield Source("-", PurePath("stdin"), data=stream.read())
        else:
            yield from walker.expand(path)
    for line in listed:
        yield from walker.expand_listed(os.fsdecode(line))


def _read_list(path: str | None, stdin: BinaryIO, separator: bytes) -> Iterator[bytes]:
    """Return the lines of a list. Raises UsageError at once, not when the first line is taken."""
    if path is None:
        return iter(())
    try:
        stream: BinaryIO = stdin if path == "-" else FileIO(path)
        # `read1` returns available bytes rather than a full buffer: a line counts as soon as it is written.
        read = getattr(stream, "read1", stream.read)
        first = b"" if path == "-" else read(CHUNK)
    except OSError as error:
        raise UsageError(
            f"The list {path} cannot be read: {error.strerror}. Give a file that lists paths, or - for stdin."
        ) from error
    return _split(chain([first] if first else [], iter(partial(read, CHUNK), b"")), separator)


def _split(chunks: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(separator)
        yield from filter(None, lines)
    if rest:
        yield rest
