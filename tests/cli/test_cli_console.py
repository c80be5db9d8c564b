from __future__ import annotations

import io
import re
import time

import pytest

from attnimg.cli.terminal.console import Console
from attnimg.cli.terminal.progress import LOG_EVERY, Log
from attnimg.cli.terminal.status import OutputClosed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def strip_escapes(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.fixture(autouse=True)
def _terminal_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_the_bar_shows_count_rate_and_failures_on_stderr_only() -> None:
    out, err = io.StringIO(), Terminal()
    with Console(out, err).progress("images") as progress:
        progress.update(1, 12, "")
        time.sleep(0.1)
        progress.update(3, 12, "1 failed")
        time.sleep(0.8)
    shown = strip_escapes(err.getvalue())
    assert "3/12" in shown
    assert "1 failed" in shown
    assert "/s" in shown
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert out.getvalue() == ""


def test_a_shared_terminal_shows_results_whole() -> None:
    terminal = Terminal()
    with Console(terminal, terminal).progress("images") as progress:
        for i in range(3):
            progress.update(i, 3, "")
            time.sleep(0.25)
            with progress.aside():
                terminal.write(f"result {i}\n")
    text = terminal.getvalue()
    assert "0/3" in strip_escapes(text)
    for i in range(3):
        # The bar's line is erased before a result begins.
        assert re.search(rf"\x1b\[2K(\x1b\[[0-9;?]*[A-Za-z])*result {i}\n", text)


@pytest.mark.parametrize("quiet", [False, True])
def test_no_bar_where_nobody_watches(quiet: bool) -> None:
    err = io.StringIO()
    console = Console(io.StringIO(), err, quiet)
    with console.progress("images") as progress:
        progress.update(1, 2, "")
    console.say("1 done")
    assert err.getvalue() == ("" if quiet else "1 done\n")


def test_the_log_tells_now_and_then() -> None:
    err, times = io.StringIO(), iter([0.0, 1.0, LOG_EVERY, LOG_EVERY + 1])
    log = Log(err, "images", lambda: next(times))
    for done in (1, 50, 55):
        log.update(done, 100, "2 failed")
    assert err.getvalue() == "50 of 100 images, 5.0 per second, 2 failed\n"


def test_control_characters_are_spelled() -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(out, err)
    console.print("a\x1b[31m\nb")
    console.say("[red]\r")
    assert out.getvalue() == "a\\x1b[31m\\nb\n"
    assert err.getvalue() == "[red]\\r\n"


def test_a_closed_stdout_is_told_apart() -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with pytest.raises(OutputClosed):
        Console(Closed(), io.StringIO()).print("x")
