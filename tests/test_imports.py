"""Imports run downwards only (ARCHITECTURE.md), and no torch where there is no net."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "attnimg"

FLOORS = {
    "errors": 0,
    "results": 1,
    "images": 1,
    "checkpoints": 1,
    "cards": 2,
    "datasets": 2,
    "attention": 3,
    "nets": 4,
    "tasks": 5,
    "evaluation": 6,
    "pipeline": 6,
    "training": 7,  # validates by what evaluation measures
    "cli": 8,
    "__main__": 9,
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def floor(module: str) -> int | None:
    parts = module.split(".")
    return FLOORS[parts[1]] if len(parts) > 1 and parts[1] in FLOORS else None


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    module = ".".join(("attnimg", *path.relative_to(PACKAGE).with_suffix("").parts))
    own = floor(module)
    if own is None:
        assert path.name == "__init__.py"  # the package itself hands out what lies below, lazily
        return
    own_part = module.split(".")[1]
    for name in imported(ast.parse(path.read_text())):
        other = floor(name) if name.startswith("attnimg.") else None
        if other is None or name.split(".")[1] == own_part:
            continue
        assert other < own or own == other == 1, f"{module} imports {name}"


@pytest.mark.parametrize("part", ["errors", "results", "images", "datasets", "pipeline", "cli"])
def test_no_torch_where_pixels_and_files_are(part: str) -> None:
    files = (PACKAGE / part).rglob("*.py") if (PACKAGE / part).is_dir() else [PACKAGE / f"{part}.py"]
    for path in files:
        tree = ast.parse(path.read_text())
        for node in tree.body if part == "cli" else ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "torch" not in {name.split(".")[0] for name in imported(node)}, path
