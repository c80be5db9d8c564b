"""Directories of TIFF and EXIF with more numbers than Pillow should make objects of."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from helpers.attack_corpus import make_seeds
from helpers.containers import gray_tiff, tiff
from helpers.round_trips import make_exif

from attnimg.images.directories import check_directories, check_exif

SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 3, 4, 5, 7, 16
MOST = 1_000_000
EXIF, GPS, INTEROP = 34665, 34853, 40965


def check(data: bytes) -> None:
    check_directories(io.BytesIO(data))


def numbers(count: int, kind: int = SHORT, size: int = 2, tag: int = 700) -> bytes:
    """A directory at offset 8 with so many numbers in one tag, and the numbers."""
    return tiff([(tag, kind, count, 26)], bytes(size * count))


@pytest.mark.parametrize(("kind", "size", "most"), [(SHORT, 2, MOST), (LONG, 4, MOST), (RATIONAL, 8, MOST // 100)])
def test_a_directory_of_too_many_numbers_is_refused(kind: int, size: int, most: int) -> None:
    check(numbers(most, kind, size))
    with pytest.raises(ValueError, match="too many numbers"):
        check(numbers(most + 1, kind, size))


def test_numbers_of_several_tags_count_together() -> None:
    half = MOST // 2
    entries = [(tag, SHORT, half, 50) for tag in (700, 701, 702)]
    check(tiff(entries[:2], bytes(2 * half)))
    with pytest.raises(ValueError, match="too many numbers"):
        check(tiff(entries, bytes(2 * half)))


def test_bytes_are_no_numbers() -> None:
    check(numbers(3 * MOST, UNDEFINED, 1))


def test_numbers_that_are_not_there_do_not_count() -> None:
    check(tiff([(700, RATIONAL, 1 << 31, 26)], bytes(1000)))


def big_tiff(data: bytes) -> bytes:
    """The same directory of one entry as a BigTIFF."""
    tag, kind, count, at = struct.unpack_from("<HHII", data, 10)
    return b"II+\0\x08\0\0\0" + struct.pack("<QQHHQQQ", 16, 1, tag, kind, count, at + 26, 0) + data[26:]


def big_endian(data: bytes) -> bytes:
    return b"MM\0*" + struct.pack(">IHHHIII", 8, 1, *struct.unpack_from("<HHII", data, 10), 0) + data[26:]


@pytest.mark.parametrize("form", [big_tiff, big_endian])
def test_every_form_of_a_tiff_is_checked(form: Callable[[bytes], bytes]) -> None:
    check(form(numbers(MOST)))
    with pytest.raises(ValueError, match="too many numbers"):
        check(form(numbers(MOST + 1)))


@pytest.mark.parametrize("tag", [EXIF, GPS, INTEROP])
@pytest.mark.parametrize("kind", [SHORT, LONG, 13])
@pytest.mark.parametrize("order", ["<", ">"])
def test_directories_below_are_checked_however_they_are_pointed_to(tag: int, kind: int, order: str) -> None:
    pointer = struct.pack(order + ("H" if kind == SHORT else "I"), 26).ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    head += struct.pack(order + "HHHI", 1, tag, kind, 1) + pointer + bytes(4)
    below = struct.pack(order + "HHHII", 1, 700, SHORT, MOST + 1, 44) + bytes(4)
    with pytest.raises(ValueError, match="too many numbers"):
        check(head + below + bytes(2 * MOST + 2))


def test_a_pointer_out_of_its_entry_is_followed() -> None:
    below = struct.pack("<HHHII", 1, 700, SHORT, MOST + 1, 52) + bytes(4)
    with pytest.raises(ValueError, match="too many numbers"):
        check(tiff([(EXIF, LONG8, 1, 26)], struct.pack("<Q", 34) + below + bytes(2 * MOST + 2)))


@pytest.mark.parametrize("kind", [1, 2, RATIONAL, UNDEFINED, 11, 12, 99])
def test_a_pointer_that_is_none_leads_nowhere(kind: int) -> None:
    check(tiff([(EXIF, kind, 1, 26)], bytes(8) + numbers(MOST + 1)))


def test_directories_that_point_to_themselves_or_to_many_others_end() -> None:
    check(tiff([(tag, LONG, 1, 8) for tag in (EXIF, GPS, INTEROP)]))
    check(tiff([(EXIF, LONG, 1, 0), (GPS, LONG, 1, 1 << 31)]))
    many = [(EXIF, LONG, 1, 9 + i) for i in range(60_000)]
    with pytest.raises(ValueError, match="too many directories"):
        check(tiff(many))
    with pytest.raises(ValueError, match="too many tags"):
        check(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, (1 << 16) + 1) + bytes(20 << 16))


def test_pages_and_thumbnails_are_not_looked_into() -> None:
    """Pillow decodes none of their numbers either."""
    second = struct.pack("<HHHII", 1, 700, SHORT, MOST + 1, 44) + bytes(4)
    check(tiff([(256, LONG, 1, 8)], second + bytes(2 * MOST + 2), after=26))


@pytest.mark.parametrize("data", [b"", b"II", b"MM\0*\xff", b"II*\0\xff\xff\xff\xff", b"II+\0\x08\0\0\0", b"junk" * 9])
def test_what_is_no_directory_holds_no_numbers(data: bytes) -> None:
    check(data)
    check_exif(b"Exif\0\0" + data)


@pytest.mark.parametrize("before", [b"", b"Exif\0\0", b"Exif\0\0" * 2])
def test_exif_is_checked_behind_its_headers(before: bytes) -> None:
    check_exif(before + numbers(MOST))
    with pytest.raises(ValueError, match="too many numbers"):
        check_exif(before + numbers(MOST + 1))


def test_ordinary_files_pass() -> None:
    for name, data in make_seeds().items():
        if name.endswith(".tif"):
            check(data)
    check(gray_tiff((278, LONG, 1, 1), (273, LONG, 64, None), bytes(256)))
    check_exif(make_exif())
