"""Which tests run in the sweep only, by `sweep.toml`: the quick run keeps a few cases of each kind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

COLLECTED = pytest.StashKey[list[pytest.Item]]()
"""All tests that this run collected, before any of them is deselected."""

ROOT = Path(__file__).parents[1]
TABLE: dict[str, dict[str, list[str]]] = tomllib.loads(Path(__file__).with_name("sweep.toml").read_text("utf-8"))
"""File -> test function -> ids of the cases that the quick run keeps, or with a "-" before each of those it does not.

A function with an empty list is swept whole.
"""


def holds(item: pytest.Item) -> bool:
    """Whether a collected test runs in the sweep only."""
    file, function, case = parts(item)
    listed = TABLE.get(file, {}).get(function)
    if listed is None:
        return False
    swept = [pattern.removeprefix("-") for pattern in listed if pattern.startswith("-")]
    return matches(case, swept) if swept else not matches(case, listed)


def matches(case: str, patterns: Iterable[str]) -> bool:
    """Whether a case's id is one of the patterns, in which `*` stands for any text."""
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), case, re.DOTALL) is not None for pattern in patterns
    )


def parts(item: pytest.Item) -> tuple[str, str, str]:
    """File below the repository, function, and the case's id ("" without parameters)."""
    name = item.name
    function = name.partition("[")[0]
    return item.path.relative_to(ROOT).as_posix(), function, name[len(function) + 1 : -1]
