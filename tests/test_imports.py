"""Imports within the package: no circle anywhere, and no folder with more modules than a person can survey."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import convatlas

ROOT = Path(convatlas.__file__).parent
MOST = 16
ROWS = {"nets/families", "weights/lineages", "engines/backends", "cli/commands", "genes", "probes/cam"}
"""Folders whose modules are rows of one kind."""


def modules() -> dict[str, Path]:
    """File of each module; the front door, which names modules of all rooms, is left out."""
    files = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in files.items() if path != ROOT / "__init__.py"}


def imported(path: Path, known: dict[str, Path]) -> set[str]:
    """Modules that a file imports: at its top, inside functions, and for type checkers."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in inside}
    return names & known.keys()


def test_no_import_circle():
    known = modules()
    graph = {name: imported(path, known) - {name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' <- '.join(error.args[1])}") from None


def test_folders_are_small():
    large = {}
    for folder in {path.parent for path in modules().values()}:
        count = sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        if count > MOST and folder.relative_to(ROOT).as_posix() not in ROWS:
            large[folder.relative_to(ROOT).as_posix()] = count
    assert not large
