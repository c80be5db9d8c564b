"""Open images in processes of their own, so that a decoder that hangs or crashes costs one image and not the run.

    thread ──> child that is idle ── socket ──> read() there ── socket ──> Picture

Each child is a fresh interpreter (a fork of a process with threads may hang), holds no torch, and is used by one thread
at a time. Pixels come through the socket straight into the array that keeps them. That took no more of the processor
than shared memory did, and leaves nothing behind, whoever is killed.
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
from attnimg.images.isolation.worker import READY, decode, read_and_rehearse
from attnimg.images.probe import probe
from attnimg.images.read import MAX_PIXELS

T = TypeVar("T")

_STARTS = 3  # how often in a row a child may fail to start
_WARMING = 120.0  # seconds that a start may take; it takes 0.3 where nothing else runs
_DYING = 1.0  # seconds after which a killed process is left to itself: it may wait for a disk that is gone

# Not `-m`, which would look for modules in the current folder first, among the images.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from attnimg.images.isolation.worker import serve; serve()"


class IsolatedReader:
    """`attnimg.images.read.read` in child processes; a context manager, called like it, from any threads.

    workers: children, and so images that are opened at once; further calls wait. timeout: seconds that one image may
    take once its turn has come, or None. A child that is late or has died is replaced.

    Entering starts the children and does not wait for them. Leaving kills them; calls under way then end soon, with
    ImageError("interrupted"). Relative paths are those of the folder in which a child was started.

    Raises Unavailable, on entering or in a call, when children cannot be started.
    """

    def __init__(self, workers: int, timeout: float | None = None, max_pixels: int = MAX_PIXELS) -> None:
        self.max_pixels = max_pixels
        self._children = [_Child(timeout) for _ in range(workers)]
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

        Raises ImageError also of the kinds timeout, damaged (its decoder crashed), out-of-memory (the system killed
        it), interrupted.
        """
        if source.error is not None:
            raise source.error
        function = partial(read_and_rehearse, max_pixels=self.max_pixels, shortest=shortest)
        picture = self.call(function, source)
        if not isinstance(picture, DecodedImage):
            raise _hostile()
        return picture

    def probe(self, source: Source) -> Probe:
        """Return format and pixel count by the header, parsed in a child; raises nothing."""
        if source.data is None and not os.path.isfile(source.path):  # noqa: PTH113 - any bytes
            return probe(source)
        try:
            found = self.call(probe, source)
        except ImageError:  # `read` reports it
            found = None
        return found if isinstance(found, Probe) else Probe(sniff_file(source.path) or "")

    def is_complete(self, path: Path) -> bool:
        """Whether an existing output is complete, decoded in a child if need be; see `complete.is_complete`."""
        return is_complete(path, partial(self.call, decode))

    def call(self, function: Callable[[Source], T], source: Source, /) -> T:
        """Call a module-level function with a source in a child. Raises ImageError as it does, and as `read`."""
        child = self._idle.get()
        try:
            answer = child.ask(function, replace(source, path=_name_for_others(source.path)))
        finally:
            self._idle.put(child)
        if isinstance(answer, Failure):
            raise ImageError(*answer)
        return cast("T", answer)

    def _close(self) -> None:
        for child in self._children:
            child.close()
        # Each is idle soon; those that wait for one then see that it is closed.
        until = time.monotonic() + _DYING
        idle: list[_Child] = []
        with suppress(Empty):
            while len(idle) < len(self._children):
                idle.append(self._idle.get(timeout=max(0, until - time.monotonic())))
        for child in idle:
            child.end()
            self._idle.put(child)


class _Child:
    """A process that decodes, and those that replace it. For one thread at a time, but for `close`."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._warm = self._closed = False
        self._lock = threading.Lock()  # of `_process` and `_closed`: nothing is started once it is closed

    def start(self) -> None:
        """Start a process, which takes a moment to be warm. OSError; ImageError when closed."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._launch(theirs)
            except BaseException:
                ours.close()
                raise
        self._socket, self._warm = ours, False

    def ask(self, function: Callable[[Source], object], source: Source) -> Any:
        """Have a function called. ImageError when that cannot be; Unavailable when no process can be started."""
        connection = self._prepare()
        until = None if self._timeout is None else time.monotonic() + self._timeout
        try:
            send_call(connection, function, source, until)
            return receive_answer(connection, until)
        except TimeoutError as error:
            self.end()
            message = f"Decoding it took over {self._timeout:g} seconds. Raise --timeout if it is worth the wait."
            raise ImageError("timeout", message) from error
        except OSError as error:
            raise self._explain_death() from error
        except UnpicklingError as error:
            self.end()
            raise _hostile() from error
        except BaseException:  # the rest of the answer would be taken for the next one
            self.end()
            raise

    def close(self) -> None:
        """Kill the process for good; from any thread."""
        with self._lock:
            self._closed = True
            if self._process:
                self._process.kill()

    def end(self) -> None:
        """Kill the process and let go of it."""
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
                raise _interrupted()
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-c", _PROGRAM, *sys.path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                process_group=0,  # a terminal's Ctrl-C is not meant for it
            )

    def _prepare(self) -> socket.socket:
        """Return the connection to a process that is warm: a new one, if the last has died."""
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
        raise _unavailable("those tried have ended at once. What they said stands above.")

    def _explain_death(self) -> ImageError:
        status = self._wait(self._process) if self._process else None  # as `end` would hide what it died of
        self.end()
        if self._closed:
            return _interrupted()
        if status == -signal.SIGKILL:
            message = "The system killed its decoder, most likely for want of memory. Use fewer --workers."
            return ImageError("out-of-memory", message)
        cause = signal.strsignal(-status) if status is not None and status < 0 else f"it ended with status {status}"
        return ImageError("damaged", f"Its decoder crashed: {cause}. Restore it from where it came.")

    @staticmethod
    def _wait(process: subprocess.Popen[bytes]) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(_DYING)
        return None


def _hostile() -> ImageError:
    message = "Its decoder answered what no decoder answers: the file may be hostile. Do not open it elsewhere."
    return ImageError("damaged", message)


def _interrupted() -> ImageError:
    return ImageError("interrupted", "The run ended before it was decoded. Run the command again.")


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"No processes that decode can be started: {reason} Leave out --isolate.")


def _name_for_others(path: str) -> str:
    """Name a file so that other processes find it: /dev/fd/3, say, is another one in each."""
    path = "/dev/fd/0" if path == "/dev/stdin" else path
    if not path.startswith(("/dev/", "/proc/")):
        return path
    folder, name = os.path.split(path)
    return f"{os.path.realpath(folder)}/{name}"
