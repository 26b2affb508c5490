"""Messages name an argument as their reader types it: `weights=` in Python, `--weights` on the command line."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.base.terminal.arguments import argument, as_typed, set_words, spelled
from convatlas.cli.app import app
from convatlas.images.preprocessing import Preprocessing
from convatlas.images.samples import sample
from convatlas.weights.user_weights import UserLineage, write

SOURCE = Path(ca.__file__).parent


def test_both_spellings() -> None:
    assert (argument("input_shape"), argument("size", 224), spelled("a", "b")) == ("input_shape=", "size=224", "a")
    with as_typed():
        assert (argument("input_shape"), argument("size", 224), spelled("a", "b")) == (
            "--input-shape",
            "--size 224",
            "b",
        )
        set_words({"net": "NET"})
        assert argument("net") == "NET"
    set_words({"net": "NET"})
    assert argument("net") == "net="


@pytest.fixture
def own(tmp_path: Path) -> str:
    """Weights of somebody's own net."""
    lineage = UserLineage("own", "mine:make", "-", "", "", Preprocessing((32, 32)), ("a", "b"))
    write({"weight": torch.zeros(2)}, lineage, tmp_path / "weights.safetensors")
    return str(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("words", "net"),
    [
        (["classify", str(sample("coffee")), "--weights"], "--net"),
        (["export", "efficientnet_lite0", "a.onnx", "--weights"], "NET"),
    ],
)
def test_the_command_line_names_what_is_typed_there(own: str, words: list[str], net: str) -> None:
    error = CliRunner().invoke(app, [*words, own]).exception
    assert f"give that as {net}, and the file as --weights" in str(error)
    with pytest.raises(WeightsError, match=r"give that as the net, and the file as weights=$"):
        ca.classify(sample("coffee"), weights=own)


def spellings(tree: ast.AST) -> Iterator[str]:
    """Texts in errors, without those that are for Python only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("spelled", "argument"):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        yield from spellings(node)


def test_no_error_spells_an_argument_itself() -> None:
    names = {name for verb in ca.VERBS for name in inspect.signature(getattr(ca, verb)).parameters}
    pattern = re.compile(rf"(?<!in Python, pass )\b({'|'.join(names)})=([\s,.:;]|$)")
    for file in sorted(SOURCE.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)) if pattern.search(text) else ():
            if isinstance(node, ast.Raise):
                assert not [part for part in spellings(node) if pattern.search(part)], f"{file}:{node.lineno}"
