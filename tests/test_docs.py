"""What the documents say exists: every command is documented, what they name is there, every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from attnimg.cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(ROOT.glob("*/*.md"))]


def commands(group: object, name: str = "attnimg") -> Iterator[tuple[str, object]]:
    """Walk the command tree, groups left out."""
    for child, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {child}")
        else:
            yield f"{name} {child}", command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert name in README or (name.startswith("attnimg models ") and "attnimg models" in README)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_explains_itself(name: str) -> None:
    command = COMMANDS[name]
    assert command.help, name
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_readme_names_no_option_that_is_not_there() -> None:
    known = {option for command in COMMANDS.values() for p in command.params for option in p.opts + p.secondary_opts}
    known |= {"--help", "--version", "--install-completion", "--show-completion"}
    lines = [line for line in README.splitlines() if not line.lstrip().startswith(("pip ", "| ", "curl"))]
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(lines)))
    assert named <= known, named - known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


def test_every_test_that_is_named_is_one() -> None:
    named = {name for document in DOCUMENTS for name in re.findall(r"(test_\w+\.py)::(\w+)", document.read_text())}
    assert named
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / file).read_text(), f"{file}::{test}"


def test_every_fault_of_the_document_has_its_test() -> None:
    faults = (ROOT / "docs" / "reliability.md").read_text().split("## Fault by fault")[1]
    rows = re.findall(r"^\| .* \|$", faults, re.MULTILINE)[1:]
    assert len(rows) > 20
    for row in rows:
        assert re.search(r"`test_\w+\.py::test_\w+`", row), row
