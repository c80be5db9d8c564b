from __future__ import annotations

import io
import re

import pytest
from helpers.terminal import Terminal

from attnimg.cli.terminal.console import Console
from attnimg.cli.terminal.progress import LOG_EVERY, Log
from attnimg.cli.terminal.status import OutputClosed


@pytest.fixture(autouse=True)
def _terminal_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def test_the_bar_shows_count_rate_and_failures_on_stderr_only() -> None:
    out, err = io.StringIO(), Terminal()
    with Console(out, err).progress("images") as progress:
        progress.update(1, 12, "")
        err.wait_for("1/12")
        progress.update(3, 12, "1 failed")
        err.wait_for(r"3/12 .*/s.* \d:\d\d:\d\d .*1 failed")
    assert out.getvalue() == ""


def test_a_shared_terminal_shows_results_whole() -> None:
    terminal = Terminal()
    with Console(terminal, terminal).progress("images") as progress:
        for i in range(3):
            progress.update(i, 3, "")
            terminal.wait_for(f"{i}/3")
            with progress.paused_for_stdout():
                terminal.write(f"result {i}\n")
    text = terminal.getvalue()
    for i in range(3):
        # The bar's line is erased before a result begins.
        assert re.search(rf"\x1b\[2K(\x1b\[[0-9;?]*[A-Za-z])*result {i}\n", text)


@pytest.mark.parametrize("quiet", [False, True])
def test_no_bar_where_nobody_watches(quiet: bool) -> None:
    err = io.StringIO()
    console = Console(io.StringIO(), err, quiet)
    with console.progress("images") as progress:
        progress.update(1, 2, "")
    console.log("1 done")
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
    console.log("[red]\r")
    assert out.getvalue() == "a\\x1b[31m\\nb\n"
    assert err.getvalue() == "[red]\\r\n"


def test_a_closed_stdout_is_told_apart() -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with pytest.raises(OutputClosed):
        Console(Closed(), io.StringIO()).print("x")
