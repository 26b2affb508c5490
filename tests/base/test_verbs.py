"""Verbs: one signature, one docstring, steps for progress."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import convatlas as ca
from convatlas.base import verbs
from convatlas.base.verbs import Steps, verb


@verb
def count(last: int, *, start: int = 1) -> Steps[str]:
    """Count up to a number."""
    if last < start:
        raise ValueError("nothing to count")
    for number in range(start, last):
        yield number, last, None
    yield last, last, f"{last}!"


def test_a_verb_returns_what_comes_with_the_last_step() -> None:
    assert count(3) == "3!"
    assert list(count.steps(3, start=2)) == [(2, 3, None), (3, 3, "3!")]
    with pytest.raises(ValueError, match="nothing"):
        count(0)


def test_a_verb_has_the_one_signature_with_the_result_s_type() -> None:
    assert str(inspect.signature(count)) == "(last: 'int', *, start: 'int' = 1) -> 'str'"
    assert (count.__name__, count.__doc__) == ("count", "Count up to a number.")


@pytest.mark.parametrize("name", ["batch", "bench", "classify", "detect", "evaluate", "reproduce", "train"])
def test_each_long_verb_of_the_front_door_has_steps(name: str) -> None:
    function = getattr(ca, name)
    ours = inspect.signature(function).parameters
    assert list(ours) == list(inspect.signature(function.steps).parameters)
    result = str(inspect.signature(function).return_annotation)
    assert "Steps" not in result
    assert "Iterator" not in result


def test_type_checkers_see_arguments_and_results(tmp_path: Path) -> None:
    # A copy on its own: with the package around it all of convatlas would be checked.
    shutil.copy(verbs.__file__, tmp_path / "verbs.py")
    script = tmp_path / "script.py"
    script.write_text(
        "from verbs import Steps, verb\n"
        "@verb\n"
        "def count(last: int, *, start: int = 1) -> Steps[str]:\n"
        "    yield last, last, str(start)\n"
        "reveal_type(count(3, start=2))\n"
        "reveal_type(next(count.steps(3)))\n"
        "count(3, stop=2)\n"
    )
    words = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(script)]
    lines = (
        subprocess.run(words, capture_output=True, text=True, cwd=tmp_path).stdout.replace("builtins.", "").splitlines()
    )
    assert lines[0].endswith('type is "str"')
    assert lines[1].endswith('type is "tuple[int, int, str | None]"')
    assert 'Unexpected keyword argument "stop"' in lines[2]
