"""The child of `isolated`: a process that looks into what it is sent until its parent is gone."""

from __future__ import annotations

import os
import resource
import select
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from attnimg.errors import ImageError
from attnimg.files.source import Source
from attnimg.images.backends import allow_large_profiles, configure
from attnimg.images.color import from_srgb
from attnimg.images.decoded import DecodedImage
from attnimg.images.isolation.protocol import Failure, receive_call, send_answer
from attnimg.images.read import read

READY = b"r"
"""What a child sends first, once it is warm."""


def serve() -> None:
    """Call what comes in on file descriptor 0, a socket, until the parent is gone."""
    connection = socket.socket(fileno=0)
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    _limit_memory()
    configure()
    allow_large_profiles()
    # From now on: what a decoder says as it dies would stand between the parent's own lines.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(OSError):
        connection.sendall(READY)
        while True:
            send_answer(connection, _call(*receive_call(connection)))


def read_and_rehearse(source: Source, *, max_pixels: int, shortest: int | None) -> DecodedImage:
    """Read a picture, and take a pixel the way back into its profile, which the parent goes when it writes."""
    picture = read(source, max_pixels=max_pixels, shortest=shortest)
    if picture.metadata.icc and picture.metadata.icc_applied:
        with suppress(Exception):  # which are told of then
            from_srgb(np.zeros((1, 1, 3), np.uint8), picture.metadata.icc)
    return picture


def decode(source: Source) -> None:
    """Read an image and drop its pixels. Raises what `read` raises."""
    read(source)


def _call(function: Callable[[Source], object], source: Source) -> object:
    try:
        return function(source)
    except ImageError as error:
        return Failure(error.kind, error.message)
    except Exception as error:  # noqa: BLE001 - it is to cost one image, as a crash does
        bug = "".join(traceback.format_exception_only(error)).strip()
        return Failure("damaged", f"Its decoder met a bug of ours. Leave out --isolate to see where. {bug}")


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
