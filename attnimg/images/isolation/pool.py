"""Decode images in child processes, so that a decoder that hangs or crashes costs one image and not the run.

    thread ──> idle child ── socket ──> read() in the child ── socket ──> DecodedImage

Each child is a fresh interpreter (a fork of a process with threads may hang), does not load torch, and serves one
thread at a time. Pixels are received from the socket directly into their array. Shared memory was not faster, and could
be left behind by a killed process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from attnimg.errors import ImageError, Unavailable
from attnimg.files.formats import sniff_file
from attnimg.files.source import Probe, Source
from attnimg.images.complete import is_complete
from attnimg.images.decoded import DecodedImage
from attnimg.images.isolation.protocol import Failure, fill, receive_answer, send_call
from attnimg.images.isolation.worker import READY, decode, read_and_try_profile
from attnimg.images.limits import RESTORE
from attnimg.images.probe import probe
from attnimg.images.read import MAX_PIXELS

T = TypeVar("T")

_STARTS = 3  # attempts to start a child
_WARMING = 120.0  # seconds that a start may take; usually it takes 0.3
_DYING = 1.0  # seconds to wait for the end of a killed process: it may hang on a lost disk

# Not `-m`, which would import modules from the current folder, among the images.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from attnimg.images.isolation.worker import serve; serve()"


class IsolatedReader:
    """A `reader.Reader` that decodes in child processes; a context manager, for any threads.

    workers: number of children; further calls wait. timeout: seconds for one image, without the wait for a child, or
    None. max_pixels: as of `read.read`. program: Python code that the children run. A child that exceeds the timeout or
    dies is replaced.

    Entering starts the children without waiting for them. Leaving kills them; pending calls then raise
    ImageError("interrupted"). Relative paths start at the current folder at the time when a child was started.

    Raises Unavailable, on entering or in a call, if children cannot be started.
    """

    def __init__(
        self, workers: int, timeout: float | None = None, max_pixels: int = MAX_PIXELS, *, program: str = _PROGRAM
    ) -> None:
        self.max_pixels = max_pixels
        self._children = [_Child(timeout, program) for _ in range(workers)]
        self._idle: SimpleQueue[_Child] = SimpleQueue()
        for child in self._children:
            self._idle.put(child)

    def __enter__(self) -> Self:
        try:
            for child in self._children:
                child.start()
        except OSError as error:
            self._close()
            raise _unavailable(f"{error.strerror}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def read(self, source: Source, *, shortest: int | None = None) -> DecodedImage:
        """Decode a source as `read.read` does.

        Raises ImageError also of the kinds timeout, damaged (the child crashed), out-of-memory (the system killed the
        child), interrupted.
        """
        if source.error is not None:
            raise source.error
        function = partial(read_and_try_profile, max_pixels=self.max_pixels, shortest=shortest)
        image = self.call(function, source)
        if not isinstance(image, DecodedImage):
            raise _hostile_error()
        return image

    def probe(self, source: Source) -> Probe:
        """Return format and pixel count by the header, parsed in a child. Raises nothing."""
        if source.data is None and not os.path.isfile(source.path):  # noqa: PTH113 - any bytes
            return probe(source)
        try:
            found = self.call(probe, source)
        except ImageError:  # `read` will report it
            found = None
        return found if isinstance(found, Probe) else Probe(sniff_file(source.path) or "")

    def is_complete(self, path: Path) -> bool:
        """Whether an existing output is complete; `complete.is_complete`, decoding in a child."""
        return is_complete(path, partial(self.call, decode))

    def call(self, function: Callable[[Source], T], source: Source, /) -> T:
        """Call a module-level function with a source in a child. Raises the ImageErrors of the function and `read`."""
        child = self._idle.get()
        try:
            answer = child.ask(function, replace(source, path=_resolve_for_child(source.path)))
        finally:
            self._idle.put(child)
        if isinstance(answer, Failure):
            raise ImageError(*answer)
        return cast("T", answer)

    def _close(self) -> None:
        for child in self._children:
            child.close()
        # Each child becomes idle soon, and waiting calls then see that it is closed.
        until = time.monotonic() + _DYING
        idle: list[_Child] = []
        with suppress(Empty):
            while len(idle) < len(self._children):
                idle.append(self._idle.get(timeout=max(0, until - time.monotonic())))
        for child in idle:
            child.end()
            self._idle.put(child)


class _Child:
    """A process that decodes, and its successors. For one thread at a time, except `close`."""

    def __init__(self, timeout: float | None, program: str) -> None:
        self._timeout, self._program = timeout, program
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._warm = self._closed = False
        self._lock = threading.Lock()  # of `_process` and `_closed`: no process starts after `close`

    def start(self) -> None:
        """Start a process without waiting until it is ready. Raises OSError; ImageError after `close`."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._launch(theirs)
            except BaseException:
                ours.close()
                raise
        self._socket, self._warm = ours, False

    def ask(self, function: Callable[[Source], object], source: Source) -> Any:
        """Call a function in the process. Raises ImageError if that fails; Unavailable if no process can be started."""
        connection = self._prepare()
        until = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            send_call(connection, function, source, until)
            return receive_answer(connection, until)
        except TimeoutError as error:
            self.end()
            message = f"Decoding it took over {self._timeout:g} seconds. Raise --timeout to wait longer."
            raise ImageError("timeout", message) from error
        except OSError as error:
            raise self._explain_death() from error
        except UnpicklingError as error:
            self.end()
            raise _hostile_error() from error
        except BaseException:  # the next call would read the rest of this answer
            self.end()
            raise

    def close(self) -> None:
        """Kill the process and start no other; from any thread."""
        with self._lock:
            self._closed = True
            if self._process:
                self._process.kill()

    def end(self) -> None:
        """Kill the process and close the connection."""
        if self._socket:
            self._socket.close()
            self._socket = None
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.kill()
            self._wait(process)

    def _launch(self, theirs: socket.socket) -> None:
        with self._lock:
            if self._closed:
                raise _interrupted_error()
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-c", self._program, *sys.path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                process_group=0,  # Ctrl-C of a terminal does not reach it
            )

    def _prepare(self) -> socket.socket:
        """Return the connection to a ready process: a new one, if the last has died."""
        for _ in range(_STARTS):
            try:
                if self._process is None or self._process.poll() is not None:
                    self.end()
                    self.start()
                if self._socket and not self._warm:
                    fill(self._socket, memoryview(bytearray(len(READY))), time.monotonic() + _WARMING)
                    self._warm = True
            except OSError:
                self.end()
            if self._socket:
                return self._socket
        raise _unavailable("they end at once. Their error messages are above.")

    def _explain_death(self) -> ImageError:
        status = self._wait(self._process) if self._process else None  # before `end` kills it
        self.end()
        if self._closed:
            return _interrupted_error()
        if status == -signal.SIGKILL:
            message = "The system killed its decoder, probably because memory was full. Use fewer --workers."
            return ImageError("out-of-memory", message)
        cause = signal.strsignal(-status) if status is not None and status < 0 else f"it ended with status {status}"
        return ImageError("damaged", f"Its decoder crashed: {cause}. {RESTORE}")

    @staticmethod
    def _wait(process: subprocess.Popen[bytes]) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_DYING)
        return None


def _hostile_error() -> ImageError:
    message = "Its decoder sent an invalid answer: the file may be hostile. Do not open it in other programs."
    return ImageError("damaged", message)


def _interrupted_error() -> ImageError:
    return ImageError("interrupted", "The run ended before it was decoded. Run the command again.")


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"Decoder processes cannot be started: {reason} Leave out --isolate.")


def _resolve_for_child(path: str) -> str:
    """Return a path that other processes can open: /dev/fd/3, for example, is a different file in each."""
    path = "/dev/fd/0" if path == "/dev/stdin" else path
    if not path.startswith(("/dev/", "/proc/")):
        return path
    folder, name = os.path.split(path)
    return f"{os.path.realpath(folder)}/{name}"
