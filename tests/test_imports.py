"""Imports run downwards only (ARCHITECTURE.md), no modules import each other in a circle, and pixels need no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from helpers.paths import PACKAGE, ROOT

FLOORS: dict[str, int] = {
    "errors": 0,
    "labels": 0,
    "runtime": 0,
    "version": 0,
    "records": 1,
    "files": 1,
    "attention": 1,
    "nets": 2,
    "images": 2,
    "masks": 3,
    "drawing": 4,
    "video": 3,
    "pipeline": 2,
    "models": 3,
    "options": 3,
    "datasets": 4,
    "predictors": 4,
    "jobs": 5,
    "evaluation": 5,
    "training": 6,
    "cli": 7,
    "__main__": 8,
}
"""A module may import modules of lower floors, and of its own room."""

MODULES = {
    ".".join(("attnimg", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


@cache
def imports(module: str) -> frozenset[str]:
    """Return the package's modules that a module imports anywhere: at its top, in functions, for types."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (names & MODULES.keys()) or {node.module}
    return frozenset(found & MODULES.keys() - {module})


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module: str) -> None:
    if module == "attnimg":  # hands out what lies below, lazily
        return
    for other in imports(module):
        assert room(other) == room(module) or FLOORS[room(other)] < FLOORS[room(module)], f"{module} imports {other}"


def find_circle(graph: dict[str, frozenset[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert find_circle({module: imports(module) for module in MODULES if module != "attnimg"}) == []


def test_a_circle_is_found() -> None:
    assert set(find_circle({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("a")})) == {"a", "b", "c"}


def test_the_architecture_lists_each_room_on_its_floor() -> None:
    lines = (ROOT / "ARCHITECTURE.md").read_text().splitlines()
    listed = {cells[2].strip(" `"): int(cells[1]) for cells in map(cells_of, lines) if cells}
    assert listed == {name: floor for name, floor in FLOORS.items() if name != "__main__"}


def cells_of(line: str) -> list[str]:
    cells = line.split("|")
    return cells if len(cells) > 3 and cells[1].strip().isdigit() else []


@pytest.mark.parametrize(
    "name", ["errors", "labels", "records", "files", "images", "masks", "drawing", "pipeline", "options"]
)
def test_no_torch_where_pixels_and_files_are(name: str) -> None:
    for module, path in MODULES.items():
        if room(module) == name:
            assert "torch" not in top_level(ast.parse(path.read_text())), module


def test_files_need_neither_pillow_nor_opencv() -> None:
    for module, path in MODULES.items():
        if room(module) in ("files", "pipeline", "options", "records"):
            assert top_level(ast.parse(path.read_text())).isdisjoint({"PIL", "cv2", "numpy"}), module


def top_level(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from attnimg.cli.main import build_app; build_app();"
        "print([name for name in ('torch', 'cv2', 'PIL', 'numpy', 'kornia', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_room_is_a_package_or_a_module() -> None:
    assert {Path(name).stem for name in FLOORS} == {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    } - {"__init__"}
