"""Which part of the sweep runs, and one thread for each process."""

from __future__ import annotations

import hashlib
import os

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quarter", type=int, choices=range(4), help="run only this fourth of the collected tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    quarter = config.getoption("--quarter")
    if quarter is None:
        return
    chosen = [item for item in items if hashlib.sha256(item.nodeid.encode()).digest()[0] % 4 == quarter]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen
