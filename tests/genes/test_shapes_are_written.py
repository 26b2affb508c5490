"""Every forward of a gene or net says which shapes it takes and gives, in a comment or its docstring."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import convatlas

SOURCE = Path(convatlas.__file__).parent
FILES = sorted(file for room in ("genes", "nets") for file in (SOURCE / room).rglob("*.py"))
SHAPE = re.compile(r"\((?:N|B|L|C|K)\b[^)]*[,)]")


def forwards(text: str) -> Iterator[tuple[int, str]]:
    """Line and source of every `forward` in a file."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            yield node.lineno, "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])


def says_shapes(forward: str) -> bool:
    """Whether a comment or the docstring holds a shape such as (N, C, H, W)."""
    (function,) = ast.parse(textwrap.dedent(forward)).body
    assert isinstance(function, ast.FunctionDef)
    comments = [line.partition("#")[2] for line in forward.splitlines()]
    return any(SHAPE.search(text) for text in (ast.get_docstring(function) or "", *comments))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_every_forward_says_its_shapes(file: Path) -> None:
    silent = [line for line, forward in forwards(file.read_text("utf-8")) if not says_shapes(forward)]
    assert not silent, f"{file}: no shape in the forward at line {', '.join(map(str, silent))}"


SILENT = """
class A:
    def forward(self, x):
        return x  # as it is

    def other(self):
        # (N, C)
        pass
"""


def test_a_forward_without_shapes_is_seen() -> None:
    assert [says_shapes(forward) for _, forward in forwards(SILENT)] == [False]
    assert [says_shapes(forward) for _, forward in forwards(SILENT.replace("as it is", "(N, C, H, W)"))] == [True]
