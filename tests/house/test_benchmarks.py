"""Every benchmark starts: what it takes from the package is there, and nothing fails before its work begins."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_it_imports_is_there(script: str) -> None:
    tree = ast.parse((FOLDER / script).read_text("utf-8"))
    names = [
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("convatlas")
        for alias in node.names
    ]
    for module, name in names:
        assert hasattr(importlib.import_module(str(module)), name) or importlib.util.find_spec(f"{module}.{name}")


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_starts(script: str, tmp_path: Path) -> None:
    # As a module, of which `main` does not run.
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import {script.removesuffix('.py')}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
