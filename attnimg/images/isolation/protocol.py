"""Messages between `pool` and its child processes.

A message has the number of its parts, their sizes, and the parts: a pickle, then the bytes of its arrays. The parent
accepts only plain values and arrays in answers, so that an attacker who controls a decoder does not control the run.
"""

from __future__ import annotations

import io
import pickle
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attnimg.errors import KINDS, Kind
from attnimg.files.formats import FORMATS
from attnimg.files.source import Probe, Source
from attnimg.images.decoded import DecodedImage
from attnimg.images.metadata import Metadata

_TYPES = {"uint8", "uint16"}  # of arrays


class Failure(NamedTuple):
    """Answer of a child that failed: the kind and message of an ImageError."""

    kind: Kind
    message: str


def send_call(
    connection: socket.socket, function: Callable[[Source], object], source: Source, until: float | None
) -> None:
    """Send a call of a module-level function with a source. until, errors: as of `fill`."""
    _send(connection, (function, source), until)


def receive_call(connection: socket.socket) -> tuple[Callable[[Source], object], Source]:
    """Return function and source of a call from the trusted parent. Raises OSError if the parent has ended."""
    call: tuple[Callable[[Source], object], Source] = _receive(connection, None, _Unpickler)
    return call


def send_answer(connection: socket.socket, answer: object) -> None:
    """Send a plain value, DecodedImage, Probe or Failure. Raises OSError if the parent has ended."""
    match answer:
        case DecodedImage():
            parts = [_list(part) if isinstance(part, Metadata) else part for part in _list(answer)]
            _send(connection, ("image", *parts), None)
        case Failure():
            _send(connection, ("failure", *answer), None)
        case Probe(format_, pixels):
            _send(connection, ("probe", format_, pixels), None)
        case _:
            _send(connection, ("value", answer), None)


def receive_answer(connection: socket.socket, until: float | None) -> Any:
    """Return the answer of a child: a plain value, DecodedImage, Probe or Failure.

    until, errors: as of `fill`. Raises UnpicklingError for any other answer.
    """
    try:
        return _open(*_receive(connection, until, _PlainUnpickler))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # forged bytes may raise any
        raise pickle.UnpicklingError(str(error)) from error


def _open(kind: str, *parts: Any) -> object:
    """Return the answer that was passed to `send_answer`. Raises any exception for parts that it did not send."""
    match kind, *parts:
        case "value", None | bool() | int() as value:
            return value
        case "failure", error, str(message) if error in KINDS:
            return Failure(error, message)
        case "probe", str() | None as format_, int() | None as pixels if format_ in (None, "", *FORMATS):
            return Probe(format_, pixels)
        case "image", pixels, alpha, size, format_, metadata, *more:
            image = DecodedImage(pixels, alpha, size, format_, Metadata(*metadata), *more)
            if _is_valid(image):
                return image
    raise ValueError(kind)


def _is_valid(image: DecodedImage) -> bool:
    match image:
        case DecodedImage(
            pixels=np.ndarray(shape=(height, width, 3), dtype=kind),
            alpha=alpha,
            size=(int(), int()),
            format=str(),
            metadata=Metadata(None | bytes(), None | bytes(), None | bytes(), bool(), others),
            note=None | str(),
            lossless=bool(),
            gray=bool(),
            profile_pixels=stored,
        ):
            return (
                height * width > 0
                and (alpha is None or (alpha.shape, alpha.dtype) == ((height, width), kind))
                and (stored is None or (stored.shape, stored.dtype) == ((height, width, 3), kind))
                and all(isinstance(name, str) for name in others)
            )
    return False


def _list(value: DecodedImage | Metadata) -> list[Any]:
    return [getattr(value, field.name) for field in fields(value)]


class _Pickler(pickle.Pickler):
    """Leaves arrays out of the pickle, and collects them, contiguous, in `arrays`."""

    def __init__(self, stream: io.BytesIO, protocol: int) -> None:
        super().__init__(stream, protocol)
        self.arrays: list[NDArray[Any]] = []

    def persistent_id(self, value: object) -> tuple[str, tuple[int, ...]] | None:
        if not isinstance(value, np.ndarray):
            return None
        self.arrays.append(np.ascontiguousarray(value))
        return value.dtype.name, value.shape


class _Unpickler(pickle.Unpickler):
    """Inserts the arrays, which come in the same order."""

    def __init__(self, pickled: memoryview, arrays: list[memoryview]) -> None:
        super().__init__(io.BytesIO(pickled))
        self._arrays = iter(arrays)

    def persistent_load(self, pid: tuple[str, tuple[int, ...]]) -> NDArray[Any]:
        name, shape = pid
        if name not in _TYPES:
            raise pickle.UnpicklingError(f"an array of {name}")
        return np.frombuffer(next(self._arrays), name).reshape(shape)


class _PlainUnpickler(_Unpickler):
    """Creates only plain values and arrays."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name}")


def _send(connection: socket.socket, message: tuple[Any, ...], until: float | None) -> None:
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=5)
    pickler.dump(message)
    parts = [stream.getbuffer(), *(array.data for array in pickler.arrays)]
    sizes = struct.pack(f"!{1 + len(parts)}Q", len(parts), *(part.nbytes for part in parts))
    for part in (memoryview(sizes), *parts):
        _set_timeout(connection, until)
        connection.sendall(part)


def _receive(connection: socket.socket, until: float | None, unpickler: type[_Unpickler]) -> Any:
    (count,) = struct.unpack("!Q", _take(connection, 8, until))
    sizes = struct.unpack(f"!{count}Q", _take(connection, 8 * count, until))
    pickled, *arrays = [_take(connection, size, until) for size in sizes]
    return unpickler(pickled, arrays).load()


def _take(connection: socket.socket, size: int, until: float | None) -> memoryview:
    taken = np.empty(size, np.uint8).data  # not a bytearray, which would be filled with zeros first
    fill(connection, taken, until)
    return taken


def fill(connection: socket.socket, buffer: memoryview, until: float | None) -> None:
    """Receive bytes until the buffer is full.

    until: deadline in terms of `time.monotonic`, or None. Raises TimeoutError; OSError if the other process has ended.
    """
    while buffer:
        _set_timeout(connection, until)
        count = connection.recv_into(buffer)
        if not count:
            raise ConnectionResetError
        buffer = buffer[count:]


def _set_timeout(connection: socket.socket, until: float | None) -> None:
    # Never 0, so that data that arrived in time are received even if this process was stopped meanwhile.
    connection.settimeout(None if until is None else max(until - time.monotonic(), 0.001))
