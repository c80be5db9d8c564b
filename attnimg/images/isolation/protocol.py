"""What `isolated` and its children say to each other.

A message is the count of its parts, their sizes, and the parts: a pickle, and its arrays as they are. An answer is made
of plain values alone, and the parent takes no others, so that who takes over a decoder has not taken over the run.
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
    """What a child answers instead of a value: an image's error."""

    kind: Kind
    message: str


def send_call(
    connection: socket.socket, function: Callable[[Source], object], source: Source, until: float | None
) -> None:
    """Have a module's function called with a source. until: as in `fill`, and the same errors."""
    _send(connection, (function, source), until)


def receive_call(connection: socket.socket) -> tuple[Callable[[Source], object], Source]:
    """Return what the parent, which is trusted, wants called. OSError when it is gone."""
    call: tuple[Callable[[Source], object], Source] = _receive(connection, None, _Unpickler)
    return call


def send_answer(connection: socket.socket, answer: object) -> None:
    """Answer with a plain value, a Picture or a Failure. OSError when the parent is gone."""
    match answer:
        case DecodedImage():
            parts = [_list(part) if isinstance(part, Metadata) else part for part in _list(answer)]
            _send(connection, ("picture", *parts), None)
        case Failure():
            _send(connection, ("failure", *answer), None)
        case Probe(format_, pixels):
            _send(connection, ("probe", format_, pixels), None)
        case _:
            _send(connection, ("value", answer), None)


def receive_answer(connection: socket.socket, until: float | None) -> Any:
    """Return what a child answers: a plain value, a Picture or a Failure.

    until: as in `fill`, and the same errors. UnpicklingError: it answers with anything else.
    """
    try:
        return _open(*_receive(connection, until, _PlainUnpickler))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # as forged bytes raise any
        raise pickle.UnpicklingError(str(error)) from error


def _open(what: str, *parts: Any) -> object:
    """Return what `send_answer` was given. Raises anything where it was not `send_answer` that sent it."""
    match what, *parts:
        case "value", None | bool() | int() as value:
            return value
        case "failure", kind, str(message) if kind in KINDS:
            return Failure(kind, message)
        case "probe", str() | None as format_, int() | None as pixels if format_ in (None, "", *FORMATS):
            return Probe(format_, pixels)
        case "picture", pixels, alpha, size, format_, metadata, *more:
            picture = DecodedImage(pixels, alpha, size, format_, Metadata(*metadata), *more)
            if _is_sound(picture):
                return picture
    raise ValueError(what)


def _is_sound(picture: DecodedImage) -> bool:
    match picture:
        case DecodedImage(
            pixels=np.ndarray(shape=(height, width, 3), dtype=kind),
            alpha=alpha,
            size=(int(), int()),
            format=str(),
            metadata=Metadata(None | bytes(), None | bytes(), None | bytes(), bool(), others),
            note=None | str(),
            lossless=bool(),
            gray=bool(),
            profile_pixels=own,
        ):
            return (
                height * width > 0
                and (alpha is None or (alpha.shape, alpha.dtype) == ((height, width), kind))
                and (own is None or (own.shape, own.dtype) == ((height, width, 3), kind))
                and all(isinstance(name, str) for name in others)
            )
    return False


def _list(value: DecodedImage | Metadata) -> list[Any]:
    return [getattr(value, field.name) for field in fields(value)]


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


class _PlainUnpickler(_Unpickler):
    """Makes nothing but plain values and arrays."""

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
