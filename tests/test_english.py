"""Text that people read is plain English: no fragment for a docstring, no phrase that readers stumbled over."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

FRAGMENT = re.compile(
    r"(Of|As|From|By|Likewise|The same|Both|Also|Either|Neither|Such|What|Where|Which|Who|When|If|Than)\b"
)
"""First words of a function's docstring that is neither an order nor a name of what is returned."""

PHRASE = re.compile(
    r"\banew\b|\blest\b|\bbegun\b|in the place of|\bcomes? along\b|\bthat (?:is|are) none\b|\b(?:is|are) told\b"
    r"|\bnone of its own\b|\bwithout a word\b|\bharms nobody\b|\bnoted down\b|\bin one go\b",
    re.IGNORECASE,
)
VAGUE = {"found", "one", "many", "told", "some", "given", "what", "seen", "wanted"}
"""Names of variables that say nothing about the value."""


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (text := ast.get_docstring(node)):
            yield node.lineno, text


def variables(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def faults(path: Path) -> list[str]:
    text = path.read_text("utf-8")
    listed = [
        f"{number}: {match[0]!r}" for number, line in enumerate(text.splitlines(), 1) for match in PHRASE.finditer(line)
    ]
    if path.suffix == ".py":
        tree = ast.parse(text)
        listed += [f"{number}: fragment {text[:60]!r}" for number, text in docstrings(tree) if FRAGMENT.match(text)]
        listed += [f"{number}: variable {name!r}" for number, name in variables(tree) if name in VAGUE]
    return listed


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_plain_english(path: Path) -> None:
    assert not faults(path)


def test_faults_are_found(tmp_path: Path) -> None:
    file = tmp_path / "faulty.py"
    file.write_text('def share(many):\n    """Of the photos."""\n    # It is begun anew.\n    return many\n', "utf-8")
    assert faults(file) == ["3: 'begun'", "3: 'anew'", "1: fragment 'Of the photos.'", "1: variable 'many'"]
