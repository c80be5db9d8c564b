"""The documents: every command is documented, everything they name exists, every link leads somewhere, Python runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import ROOT, TESTS
from PIL import Image

from attnimg.cli.lazy import load
from attnimg.cli.main import list_commands

README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(ROOT.glob("*/*.md"))]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
MOST_LINES = 150  # of the README


ENTRIES = list_commands()
LOADED = {f"attnimg {name}": load(entry, name) for name, entry in ENTRIES.items()}


def commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Walk the command tree, groups left out."""
    for child, below in getattr(command, "commands", {}).items():
        yield from commands(f"{name} {child}", below)
    if not hasattr(command, "commands"):
        yield name, command


COMMANDS = dict(pair for name, command in LOADED.items() for pair in commands(name, command))


@pytest.mark.parametrize("name", LOADED)
def test_summaries_are_the_first_sentences_of_the_help(name: str) -> None:
    assert ENTRIES[name.removeprefix("attnimg ")].summary == " ".join(LOADED[name].help.split("\n\n")[0].split())


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


def test_every_page_is_reached_from_the_readme() -> None:
    assert [page.name for page in PAGES[1:] if f"](docs/{page.name})" not in README] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert name in README or (name.startswith("attnimg models ") and "attnimg models" in README)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.help, name
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_name_no_option_that_does_not_exist(page: Path) -> None:
    known = {option for command in COMMANDS.values() for p in command.params for option in p.opts + p.secondary_opts}
    known |= {"--help", "--version", "--install-completion", "--show-completion"}
    blocks = [line for line in page.read_text().splitlines() if "attnimg " in line and "python " not in line]
    named = {option for line in blocks for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", line.split("|")[0])}
    assert named <= known | {"--count", "--growth"}, named - known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def find_test_file(name: str) -> Path:
    (found,) = TESTS.rglob(name)
    return found


def test_every_test_that_is_named_is_one() -> None:
    named = {name for document in DOCUMENTS for name in re.findall(r"(test_\w+\.py)::(\w+)", document.read_text())}
    assert named
    for file, test in named:
        assert f"def {test}(" in find_test_file(file).read_text(), f"{file}::{test}"


def test_every_path_of_the_architecture_exists() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)", (ROOT / "ARCHITECTURE.md").read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists() and not (ROOT / "attnimg" / path).exists()] == []


def test_every_fault_of_the_document_has_its_test() -> None:
    faults = (ROOT / "docs" / "reliability.md").read_text().split("## Fault by fault")[1]
    rows = re.findall(r"^\| .* \|$", faults, re.MULTILINE)[1:]
    assert len(rows) > 20
    for row in rows:
        assert re.search(r"`test_\w+\.py::test_\w+`", row), row


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_of_the_documents_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "samples", "samples")
    Path("night").mkdir()
    Image.open("samples/cat.png").convert("RGB").point(lambda code: code // 8).save("night/cat.jpg")
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
        exec(block, names)
        shutil.rmtree("bright", ignore_errors=True)
    assert "Egyptian cat" in capsys.readouterr().out
