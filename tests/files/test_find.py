import hashlib
import io
import os
from io import FileIO
from pathlib import Path, PurePath

import pytest

from attnimg.errors import UsageError
from attnimg.files.find import find
from attnimg.files.shard import in_shard, parse_shard
from attnimg.files.source import Counts, Source
from attnimg.files.walk import Walker

JPEG = b"\xff\xd8\xff\xe0" + bytes(60)


def make(folder: Path, *names: str | bytes) -> None:
    for name in names:
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(JPEG)


def paths(sources, folder: Path) -> list[str]:
    return [os.path.relpath(source.path, folder) for source in sources]


def kinds(sources) -> list[str | None]:
    return [source.error and source.error.kind for source in sources]


def test_a_folder_is_mirrored_below_itself_in_the_order_of_paths(tmp_path: Path) -> None:
    make(tmp_path, "b.jpg", "a/z.jpg", "a.jpg", "a-1.jpg", "a/b/c.png", "B.JPG")
    found = list(find([tmp_path]))
    assert [s.path for s in found] == sorted(s.path for s in found)
    assert [s.relative for s in found] == [PurePath(p) for p in paths(found, tmp_path)]
    assert len(found) == 6


def test_content_or_extension_makes_an_image_and_the_rest_is_counted(tmp_path: Path) -> None:
    make(tmp_path, "by-content", "photo[red].jpg", "two\nlines.jpg", "raw.NEF", ".hidden.jpg", ".git/a.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.txt").write_text("BMW is no bitmap")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    counts = Counts()
    assert paths(find([tmp_path], Walker(counts=counts)), tmp_path) == [
        "by-content",
        "empty.jpg",
        "photo[red].jpg",
        "two\nlines.jpg",
    ]
    assert counts.passed_over == 4


def test_named_files_go_by_their_names_and_say_when_they_are_missing(tmp_path: Path) -> None:
    make(tmp_path, "x/a.jpg", "x/.hidden.jpg")
    found = list(find([tmp_path / "x/a.jpg", tmp_path / "gone.jpg", tmp_path / "x/.hidden.jpg"]))
    assert kinds(found) == [None, "missing", None]
    assert found[0].relative == PurePath("a.jpg")
    assert kinds(find([tmp_path / "x/a.jpg/b.jpg", ""])) == ["missing", "missing"]


def test_an_existing_path_is_literal_and_only_then_a_pattern(tmp_path: Path) -> None:
    make(tmp_path, "photo[red].jpg", "photor.jpg", "x/one.jpg", "x/y/two.jpg", "x/.hidden.jpg")
    assert paths(find([tmp_path / "photo[red].jpg"]), tmp_path) == ["photo[red].jpg"]
    assert paths(find([tmp_path / "photo[r].jpg"]), tmp_path) == ["photor.jpg"]
    found = list(find([tmp_path / "x/**/*.jpg"]))
    assert paths(found, tmp_path) == ["x/one.jpg", "x/y/two.jpg"]
    assert [s.relative for s in found] == [PurePath("one.jpg"), PurePath("y/two.jpg")]
    assert kinds(find([tmp_path / "*.gif"])) == ["missing"]
    # A folder that the pattern matches is walked once, though its files match as well.
    assert paths(find([tmp_path / "x/**"]), tmp_path) == ["x/one.jpg", "x/y/two.jpg"]


def test_links_to_files_count_and_loops_end(tmp_path: Path) -> None:
    make(tmp_path, "in/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "in/loop").symlink_to(".")
    (tmp_path / "in/link.jpg").symlink_to("a.jpg")
    (tmp_path / "in/dead.jpg").symlink_to("nothing")
    (tmp_path / "in/away").symlink_to("../elsewhere")
    counts = Counts()
    assert paths(find([tmp_path / "in"], Walker(counts=counts)), tmp_path / "in") == ["a.jpg", "dead.jpg", "link.jpg"]
    assert counts.passed_over == 2
    assert paths(find([tmp_path / "in/**"]), tmp_path / "in") == ["a.jpg", "dead.jpg", "link.jpg"]
    assert paths(find([tmp_path / "in/away"]), tmp_path / "in") == ["away/b.jpg"]


def test_the_output_folder_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "out/a.png", "out/deep/b.png", "output.jpg")
    walker = Walker(outputs=[tmp_path / "out"])
    assert paths(find([tmp_path], walker), tmp_path) == ["a.jpg", "output.jpg"]
    assert paths(find([tmp_path / "**"], walker), tmp_path) == ["a.jpg", "output.jpg"]
    assert paths(find([tmp_path], Walker(outputs=[tmp_path])), tmp_path)[0] == "a.jpg"


def test_what_is_named_where_outputs_go_is_parted_from_what_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.jpg", "out/a.png", "outer/b.jpg")
    (tmp_path / "link").symlink_to("out")
    monkeypatch.chdir(tmp_path)
    walker = Walker(outputs=[Path("out"), Path("sorted")])
    folders = ["out", "link/", str(tmp_path / "out")]
    meant = ["a.jpg", "out/a.png", "out/*.png", "outer", "sorted", "gone", "-"]
    assert walker.split_inputs([*folders, *meant]) == (meant, folders)
    assert walker.split_inputs(folders) == (folders, [])
    assert walker.split_inputs([]) == ([], [])
    assert Walker(outputs=[Path("a.jpg")]).split_inputs(["a.jpg", "outer"]) == (["a.jpg", "outer"], [])


def test_exclude_matches_names_and_relative_paths_and_folders(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.png", "raw/b.jpg", "x/raw/c.jpg", "x/d.jpg")

    def excluding(*patterns: str) -> list[str]:
        return paths(find([tmp_path], Walker(exclude=patterns)), tmp_path)

    assert excluding("*.png") == ["a.jpg", "raw/b.jpg", "x/d.jpg", "x/raw/c.jpg"]
    assert excluding("raw/") == ["a.jpg", "a.png", "x/d.jpg"]
    assert excluding("x/raw", "a.*") == ["raw/b.jpg", "x/d.jpg"]


def test_not_recursive(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "x/b.jpg")
    assert paths(find([tmp_path], Walker(recursive=False)), tmp_path) == ["a.jpg"]


def test_a_list_is_literal_keeps_bytes_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "x/*.jpg", "x/b.jpg", b"caf\xe9.jpg", "two\nlines.jpg")
    monkeypatch.chdir(tmp_path)
    listing = b"x/*.jpg\0./x/../x/b.jpg\0caf\xe9.jpg\0two\nlines.jpg\0../up.jpg\0\0" + os.fsencode(tmp_path / "x/b.jpg")
    found = list(find(from_file="-", nul=True, stdin=io.BytesIO(listing)))
    assert kinds(found) == [None, None, None, None, "missing", None]
    assert [s.relative for s in found] == [
        PurePath("x/*.jpg"),
        PurePath("x/b.jpg"),
        PurePath(os.fsdecode(b"caf\xe9.jpg")),
        PurePath("two\nlines.jpg"),
        PurePath("../up.jpg"),
        (tmp_path / "x/b.jpg").relative_to("/"),
    ]
    assert os.fsencode(found[2].path) == b"caf\xe9.jpg"
    Path("list").write_bytes(b"x/b.jpg\nx\n\nx/*.jpg")
    assert [s.path for s in find(from_file="list")] == ["x/b.jpg", "x/*.jpg", "x/b.jpg", "x/*.jpg"]


def test_a_list_that_is_missing_or_not_split_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        list(find(from_file=str(tmp_path / "gone")))
    [source] = find(from_file="-", stdin=io.BytesIO(b"a.jpg\0b.jpg"))
    assert source.error is not None
    assert "-0" in source.error.message


def test_root_keeps_paths_below_it(tmp_path: Path) -> None:
    make(tmp_path, "x/a.jpg", "y/a.jpg")
    inputs = [tmp_path / "x", tmp_path / "y/a.jpg"]
    assert [s.relative for s in find(inputs, Walker(root=tmp_path))] == [PurePath("x/a.jpg"), PurePath("y/a.jpg")]
    assert [s.relative for s in find(inputs, Walker(root=tmp_path / "x"))] == [
        PurePath("a.jpg"),
        PurePath("../y/a.jpg"),
    ]


def test_an_image_on_stdin() -> None:
    [source] = find(["-"], stdin=io.BytesIO(JPEG))
    assert source == Source("-", PurePath("stdin"), data=JPEG)


def test_a_folder_without_rights_is_an_error_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    scandir = os.scandir

    def refuse_b(path: str):
        if path.endswith("b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse_b)  # root may list everything
    found = list(find([tmp_path]))
    assert paths(found, tmp_path) == ["a/1.jpg", "b", "c/3.jpg"]
    assert kinds(found) == [None, "unreadable", None]


def test_looks_no_further_than_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scandir(path))
    assert next(find([tmp_path])).path.endswith("1.jpg")
    assert not any(path.endswith("b") for path in listed)


def test_a_list_is_taken_line_by_line_while_it_is_written(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    out, into = os.pipe()
    with FileIO(out, "r") as stdin, FileIO(into, "w") as writer:
        found = find(from_file="-", stdin=stdin)
        writer.write(os.fsencode(tmp_path / "a.jpg") + b"\n" + os.fsencode(tmp_path)[:3])
        assert next(found).path == str(tmp_path / "a.jpg")
        writer.write(os.fsencode(tmp_path)[3:] + b"/b.jpg")
        writer.close()
        assert [s.path for s in found] == [str(tmp_path / "b.jpg")]


def test_a_list_that_cannot_be_opened_is_told_of_before_any_image(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    with pytest.raises(UsageError, match="no-list"):
        next(find([tmp_path], from_file=str(tmp_path / "no-list")))


def names(*paths: str) -> list[Source]:
    return [Source(path, PurePath(path)) for path in paths]


def test_shards_part_the_images_about_equally_and_keep_their_order() -> None:
    sources = names(*(f"album {i % 10}/{os.fsdecode(bytes([200]))}{i}.jpg" for i in range(2000)))
    shards = [[s for s in sources if in_shard(s, k, 16)] for k in range(1, 17)]
    assert sorted(s.path for shard in shards for s in shard) == sorted(s.path for s in sources)
    assert all(90 < len(shard) < 160 for shard in shards)
    assert all(in_shard(s, 1, 1) for s in sources)


def test_a_shard_is_the_same_in_every_run_and_on_every_machine() -> None:
    for name in ("a.jpg", "x/b.c.png", os.fsdecode(b"caf\xe9.jpg")):
        stem = os.fsencode(name).rpartition(b".")[0]
        number = int.from_bytes(hashlib.blake2b(stem, digest_size=8).digest(), "big")
        assert [in_shard(*names(name), k, 7) for k in range(1, 8)] == [number % 7 == k - 1 for k in range(1, 8)]


def test_shards_go_by_where_the_output_goes() -> None:
    """Two inputs of one output name meet in one shard, wherever they lie and whatever made them bytes."""
    for i in range(50):
        jpeg, png = names(f"x/{i}.jpg", f"x/{i}.png")
        elsewhere = Source(f"/else/where/{i}.jpg", jpeg.relative, data=b"")
        assert [in_shard(jpeg, k, 7) for k in range(1, 8)] == [in_shard(png, k, 7) for k in range(1, 8)]
        assert [in_shard(jpeg, k, 7) for k in range(1, 8)] == [in_shard(elsewhere, k, 7) for k in range(1, 8)]
    for odd in ("", "..", "../up.jpg", ".hidden"):
        assert sum(in_shard(Source(odd, PurePath(odd)), k, 7) for k in range(1, 8)) == 1


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "x", "1/0", "", "/", "1/", "-1/4", "1/4/4", " 1/4", "1.0/4", "\u0661/4"]
)
def test_what_is_no_shard_is_explained(text: str) -> None:
    with pytest.raises(UsageError, match="3/16"):
        parse_shard(text)


def test_a_shard_is_counted_from_one() -> None:
    assert [parse_shard(text) for text in ("1/1", "3/16", "16/16")] == [(1, 1), (3, 16), (16, 16)]
