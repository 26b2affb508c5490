"""Which tests run in the sweep only, by `sweep.toml`: the quick run keeps a few cases of each kind."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

COLLECTED = pytest.StashKey[list[pytest.Item]]()
"""All tests that this run collected, before any of them is deselected."""

ROOT = Path(__file__).parents[1]
TABLE: dict[str, dict[str, list[str]]] = tomllib.loads(Path(__file__).with_name("sweep.toml").read_text("utf-8"))
"""File -> test function -> ids of the cases that stay in the quick run; all its other cases are swept."""


def holds(item: pytest.Item) -> bool:
    """Whether a collected test runs in the sweep only."""
    file, function, case = parts(item)
    quick = TABLE.get(file, {}).get(function)
    return quick is not None and case not in quick


def parts(item: pytest.Item) -> tuple[str, str, str]:
    """File below the repository, function, and the case's id ("" without parameters)."""
    name = item.name
    function = name.partition("[")[0]
    return item.path.relative_to(ROOT).as_posix(), function, name[len(function) + 1 : -1]
