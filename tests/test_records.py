from __future__ import annotations

import base64
import csv
import io
import json
import os
from contextlib import suppress

import pytest
from rich.cells import cell_len

from attnimg.cli.terminal.printing import FORMATS
from attnimg.records import Classified, Failed, Prediction, Record, Skipped, Tally

CAT = Prediction("n02123045", "tabby, tabby cat", 0.75)
DOG = Prediction("n02099601", "golden retriever", 0.125)
LATIN = os.fsdecode(b"caf\xe9.jpg")


def printed(name: str, *records: Record, width: int = 80) -> str:
    out = io.StringIO(newline="")
    with FORMATS[name](out, Classified, width) as write:
        for record in records:
            write(record)
    return out.getvalue()


def test_json_of_each_record() -> None:
    assert json.loads(Classified("a.jpg", "objects", (CAT, DOG)).to_json()) == {
        "path": "a.jpg",
        "model": "objects",
        "predictions": [
            {"id": "n02123045", "label": "tabby, tabby cat", "score": 0.75},
            {"id": "n02099601", "label": "golden retriever", "score": 0.125},
        ],
    }
    assert json.loads(Classified("a.gif", "m", (), overlay="o.png", note="first of 3 frames").to_json()) == {
        "path": "a.gif",
        "model": "m",
        "predictions": [],
        "overlay": "o.png",
        "note": "first of 3 frames",
    }
    assert json.loads(Failed("b", "exists", "It is there.", taken="out/b").to_json()) == {
        "path": "b",
        "error": {"kind": "exists", "message": "It is there."},
    }
    assert json.loads(Skipped("c", "out/c").to_json()) == {"path": "c", "output": "out/c", "skipped": True}


@pytest.mark.parametrize(
    "path", ["ünï/日本.jpg", "two\nlines\u2028.jpg", "photo[red].jpg", '"\\\x1b[31m', "\U0001f98a.png"]
)
def test_json_is_one_line_of_ascii(path: str) -> None:
    line = Classified(path, "m", ()).to_json()
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"path": path, "model": "m", "predictions": []}


def test_bytes_of_an_undecodable_path_survive() -> None:
    line = Skipped(LATIN, f"out/{LATIN}").to_json()
    assert r'"path": "caf\udce9.jpg"' in line
    keys = json.loads(line)
    assert list(keys) == ["path", "path_b64", "output", "output_b64", "skipped"]
    assert base64.b64decode(keys["path_b64"]) == b"caf\xe9.jpg"
    assert base64.b64decode(keys["output_b64"]) == b"out/caf\xe9.jpg"


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Classified("a", "m", (Prediction("1", "cat", float("nan")),)).to_json()


def test_jsonl_is_flushed_line_by_line() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as out, FORMATS["jsonl"](out, Classified, 80) as write:
        for path in ("a", "b"):
            write(Failed(path, "missing", "There is no such file."))
            assert json.loads(os.read(read_end, 1000))["path"] == path
    os.close(read_end)


def test_json_is_one_array_even_when_interrupted() -> None:
    assert json.loads(printed("json")) == []
    assert [record["path"] for record in json.loads(printed("json", Skipped("a", "o"), Skipped("b", "p")))] == [
        "a",
        "b",
    ]
    out = io.StringIO()
    with suppress(KeyboardInterrupt), FORMATS["json"](out, Classified, 80) as write:
        write(Skipped("a", "o"))
        raise KeyboardInterrupt
    assert len(json.loads(out.getvalue())) == 1


def test_csv_has_one_row_per_prediction() -> None:
    text = printed(
        "csv",
        Classified('two\nlines, "quoted".jpg', "m", (CAT, DOG)),
        Classified("none.gif", "m", (), note="first of 3 frames"),
        Failed(LATIN, "damaged", "It is cut short."),
        Skipped("c", "out/c"),
    )
    text.encode("utf-8")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["path", "model", "rank", "id", "label", "score", "kind", "message"]
    assert rows == [
        ['two\nlines, "quoted".jpg', "m", "1", "n02123045", "tabby, tabby cat", "0.75", "", ""],
        ['two\nlines, "quoted".jpg', "m", "2", "n02099601", "golden retriever", "0.125", "", ""],
        ["none.gif", "m", "", "", "", "", "", "first of 3 frames"],
        [r"caf\udce9.jpg", "", "", "", "", "", "damaged", "It is cut short."],
        ["c", "", "", "", "", "", "skipped", "out/c exists."],
    ]
    assert text.count("\r\n") == 6


def test_table_lines_fill_the_terminal_exactly() -> None:
    records = [
        Classified("a.jpg", "m", (CAT, DOG)),
        Classified("日本/" * 30 + "fin.jpg", "m", (CAT,)),
        Classified("é" * 200, "m", (Prediction("1", "x" * 99, 1.0),)),
        Classified("none.jpg", "m", ()),
    ]
    for width in (60, 80, 81, 200):
        lines = printed("table", *records, width=width).splitlines()
        assert [cell_len(line) for line in lines] == [width] * 6
    header, first, second, wide, long, none = lines = printed("table", *records).splitlines()
    assert header.split() == ["path", "label", "score"]
    assert first.split() == ["a.jpg", "tabby,", "tabby", "cat", "0.750"]
    assert second.split() == ["golden", "retriever", "0.125"]
    assert "…" in wide
    assert "fin.jpg  tabby" in wide
    assert long.endswith("x  1.000")
    assert none.split() == ["none.jpg", "-", "-"]


def test_table_says_failures_and_notes_as_sentences() -> None:
    lines = printed(
        "table",
        Failed("b.jpg", "damaged", "The file is cut short."),
        Skipped("c", "out/c"),
        Classified("a.gif", "m", (CAT,), note="first of 3 frames"),
    ).splitlines()
    assert lines[1].split(maxsplit=1) == ["b.jpg", "The file is cut short."]
    assert lines[2].split(maxsplit=1) == ["c", "out/c exists."]
    assert lines[4].strip() == "first of 3 frames"


def test_table_shows_what_a_terminal_would_act_on() -> None:
    hostile = "\x1b]0;title\x07\r\n\u202e[red]" + LATIN
    text = printed("table", Failed(hostile, "missing", f"{hostile} is missing."), width=120)
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == 2
    shown = r"\x1b]0;title\x07\r\n\u202e[red]caf\udce9.jpg"
    assert text.count(shown) == 2


def test_tally_counts() -> None:
    tally = Tally()
    for record in (Classified("a", "m", ()), Classified("b", "m", ()), Skipped("c", "o"), Failed("d", "damaged", ".")):
        tally.add(record)
    assert tally.line(passed_over=4) == "2 done, 1 skipped, 1 failed, 4 passed over"
