"""The child process of `pool`: it decodes the images that its parent sends, and ends with the parent."""

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
from attnimg.images.backends import configure
from attnimg.images.color import from_srgb
from attnimg.images.decoded import DecodedImage
from attnimg.images.isolation.protocol import Failure, receive_call, send_answer
from attnimg.images.read import read

READY = b"r"
"""First message of a child, after its imports."""


def serve() -> None:
    """Answer the calls that arrive on file descriptor 0, a socket, until the parent ends."""
    connection = socket.socket(fileno=0)
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    _limit_memory()
    configure()
    # From now on, because messages of a crashing decoder would appear between the parent's lines.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(OSError):
        connection.sendall(READY)
        while True:
            send_answer(connection, _call(*receive_call(connection)))


def read_and_try_profile(source: Source, *, max_pixels: int, shortest: int | None) -> DecodedImage:
    """Read an image, and convert one pixel back to its profile, as the parent will do when it writes."""
    image = read(source, max_pixels=max_pixels, shortest=shortest)
    if image.metadata.icc and image.metadata.icc_applied:
        with suppress(Exception):  # `encode` will report them; a crash happens here
            from_srgb(np.zeros((1, 1, 3), np.uint8), image.metadata.icc)
    return image


def decode(source: Source) -> None:
    """Read an image and drop its pixels. Raises the errors of `read`."""
    read(source)


def _call(function: Callable[[Source], object], source: Source) -> object:
    try:
        return function(source)
    except ImageError as error:
        return Failure(error.kind, error.message)
    except Exception as error:  # noqa: BLE001 - like a crash, it costs one image
        bug = "".join(traceback.format_exception_only(error)).strip()
        return Failure("damaged", f"Its decoder has a bug of attnimg. Leave out --isolate to see where. {bug}")


def _end_with_parent(connection: socket.socket) -> None:
    """End with the parent. PR_SET_PDEATHSIG would act at the end of the parent's thread, too, and is for Linux only."""
    poll = select.poll()
    poll.register(connection, 0)  # waits for its end only
    poll.poll()
    os._exit(0)


def _limit_memory() -> None:
    """Limit the memory for decompression bombs, let the system kill this process before its parent, dump no core."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # the limit of a container, unless the file is missing or says "max"
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    # Not RLIMIT_AS: threads of decoders reserve addresses without using them.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = memory // 2 if hard == resource.RLIM_INFINITY else min(memory // 2, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
