"""The child of `isolated`: a process that looks into what it is sent until its parent is gone; and what the two say.

A message is the count of its parts, their sizes, and the parts: a pickle, and the arrays that are large as they are.
"""

from __future__ import annotations

import os
import pickle
import resource
import select
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attnimg.errors import ImageError, Kind
from attnimg.images.colour import from_srgb
from attnimg.images.picture import Picture
from attnimg.images.read import read
from attnimg.images.source import Source

READY = b"r"
"""What a child sends first, once it is warm."""

_INLINE = 1 << 16  # bytes up to which an array goes into the pickle


class Failure(NamedTuple):
    """What a child answers instead of a value: an image's error, or without a kind a bug, and its traceback."""

    kind: Kind | None
    message: str


def serve() -> None:
    """Call what comes in on file descriptor 0, a socket, until the parent is gone."""
    connection = socket.socket(fileno=0)
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    _limit_memory()
    # From now on: what a decoder says as it dies would stand between the parent's own lines.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(OSError):
        connection.sendall(READY)
        while True:
            send(connection, _call(*receive(connection)))


def read_and_rehearse(source: Source, *, max_pixels: int, shortest: int | None) -> Picture:
    """Read a picture, and take a pixel the way back into its profile, which the parent goes when it writes."""
    picture = read(source, max_pixels=max_pixels, shortest=shortest)
    if picture.metadata.icc and picture.metadata.icc_applied:
        with suppress(Exception):  # which are told of then
            from_srgb(np.zeros((1, 1, 3), np.uint8), picture.metadata.icc)
    return picture


def _call(function: Callable[[Source], object], source: Source) -> object:
    try:
        return function(source)
    except ImageError as error:
        return Failure(error.kind, error.message)
    except Exception:  # noqa: BLE001 - raised again by the parent
        return Failure(None, traceback.format_exc())


def _end_with_parent(connection: socket.socket) -> None:
    """Not by PR_SET_PDEATHSIG, which kills when the thread that started a child ends, and on Linux alone."""
    poll = select.poll()
    poll.register(connection, 0)  # only its end is news
    poll.poll()
    os._exit(0)


def _limit_memory() -> None:
    """Have a bomb refused the memory that it wants, or else have it killed rather than the parent; no core dumps."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # a container may have less; no file, or "max" in it, is no limit
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    # Not RLIMIT_AS: threads of decoders reserve addresses that they never use.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory // 2 if hard == resource.RLIM_INFINITY else min(memory // 2, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def send(connection: socket.socket, message: object, until: float | None = None) -> None:
    """Send a message. until: as in `fill`, and the same errors."""
    large: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        small = raw.nbytes <= _INLINE
        if not small:
            large.append(raw)
        return small

    pickled = pickle.dumps(message, protocol=5, buffer_callback=keep)
    sizes = [len(pickled), *(part.nbytes for part in large)]
    _set_timeout(connection, until)
    connection.sendall(struct.pack(f"!{1 + len(sizes)}Q", len(sizes), *sizes) + pickled)
    for part in large:
        connection.sendall(part)


def receive(connection: socket.socket, until: float | None = None) -> Any:
    """Return the next message. until: as in `fill`, and the same errors."""
    (count,) = struct.unpack("!Q", _take(connection, 8, until))
    sizes = struct.unpack(f"!{count}Q", _take(connection, 8 * count, until))
    pickled, *large = [_take(connection, size, until) for size in sizes]
    return pickle.loads(pickled, buffers=large)  # noqa: S301 - made by a process that has our own rights


def _take(connection: socket.socket, size: int, until: float | None) -> memoryview:
    taken = np.empty(size, np.uint8).data  # unlike a bytearray, not written before it is filled
    fill(connection, taken, until)
    return taken


def fill(connection: socket.socket, buffer: memoryview, until: float | None) -> None:
    """Receive as many bytes as a buffer takes.

    until: when (`time.monotonic`) it is too late; None never. OSError when the other side is gone; TimeoutError.
    """
    while buffer:
        _set_timeout(connection, until)
        count = connection.recv_into(buffer)
        if not count:
            raise ConnectionResetError
        buffer = buffer[count:]


def _set_timeout(connection: socket.socket, until: float | None) -> None:
    # Never 0: what came in time is taken even when we look late, having been stopped ourselves.
    connection.settimeout(None if until is None else max(until - time.monotonic(), 0.001))
