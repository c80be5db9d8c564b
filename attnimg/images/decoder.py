"""The child of `isolated`: a process that looks into what it is sent until its parent is gone; and what the two say.

A message is the count of its parts, their sizes, and the parts: a pickle, and its arrays as they are. The parent
unpickles nothing but pictures and the like, so that who takes over a decoder there has not taken over the run.
"""

from __future__ import annotations

import io
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
from numpy.typing import NDArray

from attnimg.errors import ImageError, Kind
from attnimg.images.colour import from_srgb
from attnimg.images.metadata import Metadata
from attnimg.images.picture import Picture
from attnimg.images.read import read
from attnimg.images.source import Source

READY = b"r"
"""What a child sends first, once it is warm."""

_TYPES = {"uint8", "uint16"}  # of arrays


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
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=5)
    pickler.dump(message)
    parts = [stream.getbuffer(), *(array.data for array in pickler.arrays)]
    _set_timeout(connection, until)
    connection.sendall(struct.pack(f"!{1 + len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket, until: float | None = None) -> Any:
    """Return the next message, from a process that is trusted. until: as in `fill`, and the same errors."""
    return _receive(connection, until, _Unpickler)


def receive_answer(connection: socket.socket, until: float | None) -> Any:
    """Return what a child answers: plain values, a Picture or a Failure.

    until: as in `fill`, and the same errors. UnpicklingError: it answers with anything else.
    """
    try:
        return _receive(connection, until, _AnswerUnpickler)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # as forged bytes raise any
        raise pickle.UnpicklingError(str(error)) from error


class _Pickler(pickle.Pickler):
    """Leaves arrays out of the pickle, and keeps them, contiguous, in `arrays`."""

    def __init__(self, stream: io.BytesIO, protocol: int) -> None:
        super().__init__(stream, protocol)
        self.arrays: list[NDArray[Any]] = []

    def persistent_id(self, value: object) -> tuple[str, tuple[int, ...]] | None:
        if not isinstance(value, np.ndarray):
            return None
        self.arrays.append(np.ascontiguousarray(value))
        return value.dtype.name, value.shape


class _Unpickler(pickle.Unpickler):
    """Puts the arrays back, which came in the same order."""

    def __init__(self, pickled: memoryview, arrays: list[memoryview]) -> None:
        super().__init__(io.BytesIO(pickled))
        self._arrays = iter(arrays)

    def persistent_load(self, pid: tuple[str, tuple[int, ...]]) -> NDArray[Any]:
        name, shape = pid
        if name not in _TYPES:
            raise pickle.UnpicklingError(f"an array of {name}")
        return np.frombuffer(next(self._arrays), name).reshape(shape)


class _AnswerUnpickler(_Unpickler):
    def find_class(self, module: str, name: str) -> type:
        for answer in (Picture, Metadata, Failure):
            if (module, name) == (answer.__module__, answer.__qualname__):
                return answer
        raise pickle.UnpicklingError(f"{module}.{name}")


def _receive(connection: socket.socket, until: float | None, unpickler: type[_Unpickler]) -> Any:
    (count,) = struct.unpack("!Q", _take(connection, 8, until))
    sizes = struct.unpack(f"!{count}Q", _take(connection, 8 * count, until))
    pickled, *arrays = [_take(connection, size, until) for size in sizes]
    return unpickler(pickled, arrays).load()


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
