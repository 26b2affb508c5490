"""Where a bar cannot be drawn, a line says now and then how far the work is."""

from __future__ import annotations

import io

import pytest

from convatlas.base.store.progress import Bars
from convatlas.base.terminal import lines
from convatlas.base.terminal.lines import PAUSE, ProgressLines
from convatlas.cli.terminal import run_steps, with_progress


def test_one_line_in_a_while() -> None:
    said: list[str] = []
    times = iter([0.0, 1.0, PAUSE, PAUSE + 1, 3 * PAUSE, 5 * PAUSE])
    report = ProgressLines("training", said.append, clock=lambda: next(times))
    for done, total in ((1, 4000), (1000, 4000), (1001, 4000), (4000, 4000), (5, None)):
        report(done, total)
    assert said == ["training: 1,000 of 4,000 (25 %)", "training: 4,000 of 4,000 (100 %)", "training: 5"]


def test_commands_and_downloads_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(lines, "PAUSE", 0.0)
    assert run_steps(iter([(1, 2, None), (2, 2, "result")]), "evaluating") == "result"
    assert run_steps(iter([(250, 1000, None), (1000, 1000, "map")]), "explaining", counted=False) == "map"
    assert list(with_progress("ab", 2, "classifying")) == ["a", "b"]
    with Bars().bar("net.h5", quiet=False) as report:
        report(1_500_000, 3_000_000)
    with Bars().bar("net.h5", quiet=True) as report:
        report(3_000_000, 3_000_000)
    assert stream.getvalue().splitlines() == [
        "convatlas: evaluating: 1 of 2 (50 %)",
        "convatlas: evaluating: 2 of 2 (100 %)",
        "convatlas: explaining: 25 %",
        "convatlas: explaining: 100 %",
        "convatlas: classifying: 1 of 2 (50 %)",
        "convatlas: classifying: 2 of 2 (100 %)",
        "convatlas: net.h5: 1.5 MB of 3.0 MB (50 %)",
    ]
