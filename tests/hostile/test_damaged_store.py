"""The store's own notes that were edited or damaged: they are made again, left out, or named in one line."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.damage import changed, damage_json, one_line

import convatlas as ca
from convatlas.base.store.download import _note, _partial
from convatlas.base.store.evaluations import add_evaluation
from convatlas.base.store.remote import Remote, home
from convatlas.base.store.timings import add_times, best_times
from convatlas.base.store.verify import is_verified, mark_verified, mismatch
from convatlas.catalogue.lineages import weights_of
from convatlas.studies.mnist_errors.table import ErrorTable
from convatlas.weights.lineage import Lineage, lineage

ROW = {"net": "lenet5", "size": 32, "batch": 1, "engine": "eager", "precision": "float32", "milliseconds": 1.5}
EVALUATION = {"key": "k", "weights": "own", "preprocessing": "p", "data": "d", "photos": 3, "classes": 2, "top1": 50.0}
EVALUATION |= {"top5": 60.0, "top1_interval": [1.0, 2.0], "top5_interval": [1.0, 2.0]}
URL = "https://example.org/a.h5"


def times(folder: Path) -> tuple[Path, Callable[[], object]]:
    add_times([ROW, {**ROW, "size": 28}])
    return home() / "bench.json", lambda: (best_times(), add_times([ROW]), best_times()["lenet5"][32])


def evaluations(folder: Path) -> tuple[Path, Callable[[], object]]:
    add_evaluation("lenet5", EVALUATION)
    return home() / "evaluated" / "lenet5.json", lambda: (add_evaluation("lenet5", EVALUATION), ca.check(["lenet5"]))


def pins(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "a.h5"
    path.write_bytes(b"weights")
    remote = Remote(URL, "a.h5", "", None)
    mismatch(path, remote, True)
    return home() / "pins.json", lambda: mismatch(path, remote, True)


def mark(folder: Path) -> tuple[Path, Callable[[], object]]:
    import os

    path, remote = folder / "a.h5", Remote(URL, "a.h5", "", None)
    path.write_bytes(b"weights")
    os.utime(path, (1, 1))
    mark_verified(path, remote)
    return folder / ".a.h5.verified", lambda: (is_verified(path, remote), ca.doctor())


def note(folder: Path) -> tuple[Path, Callable[[], object]]:
    part = folder / ".a.h5.part"
    part.write_bytes(b"wei")
    version = {"url": URL, "etag": '"x"', "modified": "", "total": 7}
    _note(part).write_text(json.dumps(version))
    return _note(part), lambda: _checked(part)


def _checked(part: Path) -> None:
    version, _ = _partial(part, URL)
    assert version is None or all(isinstance(text, str) for text in (version.url, version.etag, version.modified))


def table(folder: Path) -> tuple[Path, Callable[[], object]]:
    path = folder / "errors.json"
    row = {"row": "lenet5", "protocol": "modern", "errors": [1.0]}
    path.write_text(ErrorTable(rows=(row,), seeds=1, quick=True, threads=1).to_json())
    return path, lambda: ErrorTable.read(path)


KINDS = {make.__name__: make for make in (times, evaluations, pins, mark, note, table)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("many", [25, pytest.param(400, marks=pytest.mark.sweep)])
def test_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, many: int) -> None:
    for seed in range(many):
        folder = tmp_path / str(seed)
        folder.mkdir()
        monkeypatch.setenv("CONVATLAS_HOME", str(folder / "store"))
        path, use = KINDS[kind](folder)
        damage_json(path, random.Random(seed))
        one_line(use)


@pytest.mark.parametrize("many", [100, pytest.param(2000, marks=pytest.mark.sweep)])
def test_lineages(many: int) -> None:
    good = json.loads(lineage(weights_of("lenet5")[0]).to_json())
    for seed in range(many):
        text = json.dumps(changed(good, random.Random(seed)))
        read: Lineage | None = one_line(lambda text=text: Lineage.from_json(text))
        if read is not None:
            x = read.preprocessing(_photo())
            assert abs(x).max() < 1e30


def _photo() -> Any:
    import numpy as np

    return np.full((20, 20, 3), 255, np.uint8)


@pytest.mark.parametrize("name", ["std", "scale", "mean"])
@pytest.mark.parametrize("value", [1e-320, 1e-40, 0.0, 1e39, 1e308])
def test_numbers_without_an_answer(name: str, value: float) -> None:
    good = lineage(weights_of("lenet5")[0])
    settings = good.preprocessing.to_dict() | {name: value if name == "scale" else [value]}
    data = json.loads(good.to_json()) | {"preprocessing": settings}
    if name == "mean" and value < 1:
        assert dataclasses.replace(Lineage.from_json(json.dumps(data)), preprocessing=good.preprocessing) == good
        return
    assert one_line(lambda: Lineage.from_json(json.dumps(data))) is None
