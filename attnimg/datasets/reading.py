"""The photos of a data set, read by threads. One that cannot be used ends the command, and all such are named."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TypeVar

from attnimg.errors import ImageError, NoImages, UsageError
from attnimg.images.find import find
from attnimg.images.picture import Picture
from attnimg.images.read import read
from attnimg.images.source import Source

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # results per thread that may wait to be taken; bounds the memory
NAMED = 5  # unusable photos that a message names; the others are counted


def find_photos(folder: Path) -> tuple[str, ...]:
    """Return the images below a folder, sorted.

    UsageError: something below cannot be read. NoImages: there is none.
    """
    if not (files := list_images(folder)):
        raise NoImages(f"{folder} holds no image. Name a folder of photos.")
    return files


def list_images(folder: Path) -> tuple[str, ...]:
    """Return the images below a folder, sorted, if there are any. UsageError: something below cannot be read."""
    sources = tuple(find([str(folder)]))
    for source in sources:
        if source.error is not None:
            raise UsageError(f"{source.path} cannot be read: {source.error}")
    return tuple(source.path for source in sources)


def read_photo(file: str, *, shortest: int | None = None) -> Picture:
    """Decode one photo, as `images.read` does; UsageError: it cannot be, and the message begins with its name."""
    try:
        return read(Source(file, PurePath(file)), shortest=shortest)
    except ImageError as error:
        raise UsageError(f"{file}: {error.message}") from error


def read_all(items: Sequence[Item], read: Callable[[Item], Result], *, workers: int) -> Iterator[Result]:
    """Yield read(item) of each item, in order, while `workers` threads read ahead.

    UsageError: `read` raised it. What remains is then read too, though yielded no more, so that the message tells of
    all that has to be mended.
    """
    failures: list[str] = []
    depth = AHEAD * workers
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(read, item) for item in items[:depth])
        for place in range(len(items)):
            if place + depth < len(items):
                waiting.append(pool.submit(read, items[place + depth]))
            try:
                result = waiting.popleft().result()
            except UsageError as error:
                failures.append(str(error))
                continue
            if not failures:
                yield result
    if failures:
        more = [f"And {len(failures) - NAMED} more."] if len(failures) > NAMED else []
        head = f"{len(failures)} of {len(items)} cannot be used; mend or remove them."
        raise UsageError(" ".join([head, *failures[:NAMED], *more]))
