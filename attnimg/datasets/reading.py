"""Reading of data sets by threads. Photos that cannot be used end the command, and the message names them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TypeVar

from attnimg.errors import ImageError, NoImages, UsageError
from attnimg.files.find import find
from attnimg.files.source import Source
from attnimg.images.decoded import DecodedImage
from attnimg.images.read import read

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # results per thread that may wait for the consumer; bounds the memory
NAMED = 5  # unusable photos that a message names; it counts the others
HELD_OUT = 0.1  # share of the photos for validation, if the data set has no part for that


def find_photos(folder: Path) -> tuple[str, ...]:
    """Return the images below a folder, sorted.

    UsageError: a file or folder cannot be read. NoImages: there is none.
    """
    if not (files := list_images(folder)):
        raise NoImages(f"{folder} holds no image. Name a folder of photos.")
    return files


def list_images(folder: Path) -> tuple[str, ...]:
    """Return the images below a folder, sorted, if there are any. UsageError: a file or folder cannot be read."""
    sources = tuple(find([str(folder)]))
    for source in sources:
        if source.error is not None:
            raise UsageError(f"{source.path} cannot be read: {source.error}")
    return tuple(source.path for source in sources)


def list_partners(
    root: Path, first: str, second: str, *, all_paired: bool = True
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the images below two folders of `root`, by the key that pairs them: their path there without extension.

    Both are sorted by key. all_paired: whether images of the first folder need partners, as those of the second always
    do; if not, the second folder may be missing. UsageError: a folder is missing or empty, an image has no partner, two
    images differ only in the extension, or a file or folder cannot be read.
    """
    for folder in [root / first] + [root / second] * all_paired:
        if not folder.is_dir():
            needed = f"A part of a data set holds {first}/ and {second}/, whose images pair by name."
            raise UsageError(f"{folder} is missing. {needed}")
    ours = _list_by_name(root / first)
    theirs = _list_by_name(root / second) if (root / second).is_dir() else {}
    alone = ours.keys() ^ theirs.keys() if all_paired else theirs.keys() - ours.keys()
    if alone:
        file = (ours | theirs)[min(alone)]
        more = f", nor have {len(alone) - 1} more" if len(alone) > 1 else ""
        raise UsageError(f"{file} has no partner in the other folder{more}. Partners differ only in the extension.")
    return ours, theirs


def _list_by_name(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in list_images(folder):
        name = str(PurePath(file).relative_to(folder).with_suffix(""))
        if name in found:
            raise UsageError(f"{found[name]} and {file} differ only in the extension. Remove one.")
        found[name] = file
    if not found:
        raise UsageError(f"{folder} holds no image. Add some.")
    return dict(sorted(found.items()))


def read_photo(file: str, *, shortest: int | None = None) -> DecodedImage:
    """Decode a photo, see `images.read`. UsageError: it cannot be read; the message begins with its name."""
    try:
        return read(Source(file, PurePath(file)), shortest=shortest)
    except ImageError as error:
        raise UsageError(f"{file}: {error.message}") from error


def read_all(items: Sequence[Item], read: Callable[[Item], Result], *, workers: int) -> Iterator[Result]:
    """Yield read(item) of each item, in order, while `workers` threads read ahead.

    UsageError: `read` raised it. The remaining items are read as well, but not yielded, so that the message names all
    files that must be repaired.
    """
    failures: list[str] = []
    depth = AHEAD * workers
    with ThreadPoolExecutor(workers) as pool:
        waiting = deque(pool.submit(read, item) for item in items[:depth])
        for index in range(len(items)):
            if index + depth < len(items):
                waiting.append(pool.submit(read, items[index + depth]))
            try:
                result = waiting.popleft().result()
            except UsageError as error:
                failures.append(str(error))
                continue
            if not failures:
                yield result
    if failures:
        more = [f"And {len(failures) - NAMED} more."] if len(failures) > NAMED else []
        head = f"{len(failures)} of {len(items)} cannot be used. Repair or remove them."
        raise UsageError(" ".join([head, *failures[:NAMED], *more]))
