"""Which part of the sweep runs, one thread for each process, a server and a store for the tests that ask for them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from convatlas.base.store import download
from tests import sweep
from tests.servers import server as server

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="session", autouse=True)
def kept_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests keep is kept apart from what the user keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVATLAS_HOME", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Numbers that a test draws are the same in every run."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the store is in one test: nothing is there yet. Downloads are tried again at once."""
    monkeypatch.setenv("CONVATLAS_HOME", str(tmp_path / "store"))
    monkeypatch.delenv("CONVATLAS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "PAUSE", 0)
    return tmp_path / "store"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quarter", type=int, choices=range(4), help="run only this quarter of the collected tests")


# First, so that `-m` of the command line sees the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Send to the sweep what `sweep.toml` names, and keep the quarter that is asked for."""
    config.stash[sweep.COLLECTED] = list(items)
    for item in items:
        if sweep.holds(item):
            item.add_marker(pytest.mark.sweep)
    quarter = config.getoption("--quarter")
    if quarter is not None:
        chosen = [item for item in items if hashlib.sha256(item.nodeid.encode()).digest()[0] % 4 == quarter]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
        items[:] = chosen
