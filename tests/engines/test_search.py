"""The choice of an engine: by times that a busy neighbour cannot move, and tried again at the next start."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.base.store.sealed import write_sealed_json
from convatlas.engines.accelerated_net import Acceleration
from convatlas.engines.backends.onnxruntime import OnnxRuntime
from convatlas.engines.options import Options
from convatlas.engines.search import stopwatch, trials
from convatlas.engines.search.remembered import read_record
from convatlas.engines.search.stopwatch import Stopwatch, undisturbed
from convatlas.nets.net import Net

FAST, SLOW = Options("openvino", "float32", 1), Options("onnxruntime", "float32", 1)


def disturbed(time: float, busy: float, generator: random.Random, count: int = 15) -> list[float]:
    """Times of calls beside a neighbour that is busy for a share of them, and makes these up to four times longer."""
    return [
        time * generator.uniform(1, 1.02) * (generator.uniform(1.5, 4) if generator.random() < busy else 1)
        for _ in range(count)
    ]


def test_a_busy_neighbour_does_not_move_the_choice() -> None:
    generator = random.Random(0)
    wrong = medians_wrong = 0
    for _ in range(200):
        fast, slow = disturbed(4.0, 0.6, generator), disturbed(6.3, 0.2, generator)
        medians_wrong += float(np.median(fast)) > float(np.median(slow))
        wrong += undisturbed(fast) > undisturbed(slow)
    assert wrong <= 2
    assert medians_wrong > 100
    assert undisturbed([3.0]) == 3.0


def patched(monkeypatch: pytest.MonkeyPatch, calls: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Replace the clock by given times for each engine; returns the engines of each run, as they come."""
    runs: list[list[str]] = []

    def rounds(sessions: Mapping[Options, object], *limits: object) -> dict[Options, list[float]]:
        runs.append([options.engine for options in sessions])
        return {options: list(calls[options.engine]) for options in sessions}

    monkeypatch.setattr(stopwatch, "rounds", rounds)
    return runs


def test_of_several_runs_the_least_disturbed_counts(monkeypatch) -> None:
    watch = Stopwatch(np.zeros((1, 1), np.float32), {FAST: 9.0})
    patched(monkeypatch, {"openvino": [4.0, 9.0, 4.0, 4.0], "onnxruntime": [6.0, 6.0, 6.0, 3.0]})
    watch.run({FAST: None, SLOW: None})
    assert watch.ranked() == [SLOW, FAST]
    patched(monkeypatch, {"openvino": [2.0, 2.0, 9.0, 9.0], "onnxruntime": [6.0, 6.0, 6.0, 6.0]})
    watch.run({FAST: None, SLOW: None})
    assert watch.ranked() == [FAST, SLOW]
    assert watch.times == {FAST: pytest.approx(2.0), SLOW: pytest.approx(3.9)}
    assert watch.wins(FAST, SLOW) == 0.5
    assert watch.wins(FAST, Options("eager", "float32", 1)) is None


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of engines with the graph of a small net."""
    folder = tmp_path_factory.mktemp("filled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVATLAS_HOME", str(folder))
        ca.accelerate(ca.build("lenet5", seed=3).eval(), "onnxruntime")
    return folder / "engines"


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch, store: Path, filled: Path) -> Net:
    shutil.copytree(filled, store / "engines")
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(trials, "run_in_sandbox", lambda *wish: None)
    return ca.build("lenet5", seed=3).eval()


def test_a_choice_made_while_the_machine_was_busy_is_put_right(net: Net, store: Path, monkeypatch) -> None:
    # A neighbour slows OpenVINO down during the search.
    patched(monkeypatch, {"eager": [9.0] * 4, "onnxruntime": [6.0] * 4, "openvino": [7.0, 5.9, 8.0, 7.5]})
    first = ca.accelerate(net).record
    assert (first.options.engine, first.settled) == ("onnxruntime", False)
    assert [rival.engine for rival in first.rivals][:1] == ["openvino"]
    assert first.wins == 0.75
    # At the next start it is quiet.
    runs = patched(monkeypatch, {"onnxruntime": [6.0] * 4, "openvino": [4.0] * 4, "eager": [9.0] * 4})
    fast = ca.accelerate(net)
    assert fast.record.options.engine == "openvino"
    assert (fast.record.milliseconds[str(FAST)], fast.record.wins) == (4.0, 1.0)
    assert len(runs) == 1
    assert runs[0][:2] == ["onnxruntime", "openvino"]
    x = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    np.testing.assert_allclose(fast(x), net(torch.from_numpy(x)).detach().numpy(), rtol=1e-4)
    # The start after that confirms it, and then it is settled; a busy neighbour cannot take it back.
    patched(monkeypatch, {"onnxruntime": [6.0] * 4, "openvino": [5.0] * 4})
    third = ca.accelerate(net).record
    assert (third.options.engine, third.settled) == ("openvino", True)
    runs = patched(monkeypatch, {})
    assert ca.accelerate(net).record == third
    assert runs == []


def test_disagreeing_rounds_are_told_and_tried_again(net: Net, monkeypatch) -> None:
    calls = {"eager": [9.0] * 4, "onnxruntime": [4.0, 6.0, 4.0, 6.0], "openvino": [5.0, 5.0, 5.0, 5.0]}
    patched(monkeypatch, calls)
    for _ in range(3):
        record = ca.accelerate(net).record
        assert (record.options.engine, record.wins, record.settled) == ("onnxruntime", 0.5, False)
        assert "the rounds disagree: it was faster than openvino float32, 1 a run in 50 % of them" in str(record)
    # Two that take the same time are settled, whichever is taken.
    patched(monkeypatch, calls | {"openvino": [3.9, 6.0, 4.0, 6.0]})
    assert ca.accelerate(net).record.settled


def test_what_has_no_rival_is_settled(net: Net, monkeypatch) -> None:
    runs = patched(monkeypatch, {"eager": [30.0], "onnxruntime": [4.0], "openvino": [9.0]})
    record = ca.accelerate(net).record
    assert (record.rivals, record.wins, record.settled) == ((), None, True)
    del runs[:]
    assert ca.accelerate(net).record == record
    assert runs == []


def test_a_rival_that_does_not_open_is_left_out(net: Net, monkeypatch) -> None:
    patched(monkeypatch, {"eager": [4.0], "onnxruntime": [5.0], "openvino": [30.0]})
    record = ca.accelerate(net).record
    assert record.options.engine == "eager"
    assert "onnxruntime" in [rival.engine for rival in record.rivals]

    def refuse(session: OnnxRuntime, *wish: object) -> NoReturn:
        raise MemoryError("bad allocation")

    monkeypatch.setattr(OnnxRuntime, "__init__", refuse)
    patched(monkeypatch, {"eager": [4.0], "onnxruntime": [1.0]})
    again = ca.accelerate(net).record
    assert again.options.engine == "eager"
    assert "onnxruntime" not in [rival.engine for rival in again.rivals]


def test_a_rival_whose_file_is_damaged_is_not_forgotten(net: Net, store: Path, monkeypatch) -> None:
    patched(monkeypatch, {"eager": [4.0], "onnxruntime": [5.0], "openvino": [30.0]})
    assert ca.accelerate(net).record.options.engine == "eager"
    (graph,) = store.glob("engines/*/net.onnx")
    graph.write_bytes(b"damaged")
    patched(monkeypatch, {"eager": [4.0], "onnxruntime": [1.0], "openvino": [30.0]})
    assert ca.accelerate(net).record.options.engine == "onnxruntime"


def test_in_a_read_only_store_a_damaged_rival_does_not_end_the_choice(net: Net, store: Path, monkeypatch) -> None:
    patched(monkeypatch, {"eager": [5.0], "onnxruntime": [9.0], "openvino": [4.0]})
    first = ca.accelerate(net).record
    assert (first.options.engine, [rival.engine for rival in first.rivals]) == ("openvino", ["eager"])
    (file,) = store.glob("engines/*/auto-float32-1-*.json")
    rival = Options("compiled", "float32", 1)
    times = {**first.milliseconds, str(rival): 4.5}
    write_sealed_json(file, replace(first, rivals=(rival, *first.rivals), milliseconds=times).to_dict())
    before = file.read_bytes()

    @contextmanager
    def read_only(path: Path) -> Iterator[bool]:
        yield False

    def refuse(*wish: object) -> NoReturn:
        raise OSError("Read-only file system")

    monkeypatch.setattr("convatlas.engines.accelerate.locked_if_writable", read_only)
    monkeypatch.setattr("convatlas.engines.search.remembered.write_sealed_json", refuse)
    record = ca.accelerate(net).record
    assert record.options.engine == "openvino"
    assert "compiled" not in [rival.engine for rival in record.rivals]
    # Once the store can be written, the rival is tried again.
    assert file.read_bytes() == before


def test_the_record_is_read_as_it_was_written(net: Net, store: Path, monkeypatch, tmp_path: Path) -> None:
    patched(monkeypatch, {"eager": [9.0], "onnxruntime": [6.0], "openvino": [7.0]})
    record: Acceleration = ca.accelerate(net).record
    (file,) = store.glob("engines/*/auto-float32-1-*.json")
    assert read_record(file) == record
    other = tmp_path / "other.json"
    write_sealed_json(other, replace(record, wins=None, rivals=()).to_dict())
    assert read_record(other).rivals == ()


def failing(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let ONNX Runtime run out of memory on batches of `size`; it is checked on two photos."""
    right = OnnxRuntime.__call__

    def call(session: OnnxRuntime, x: np.ndarray) -> np.ndarray:
        if len(x) == size:
            raise MemoryError("bad allocation")
        return right(session, x)

    monkeypatch.setattr(OnnxRuntime, "__call__", call)


def test_an_engine_that_fails_while_it_is_timed_is_refused(net: Net, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        failing(patch, 5)
        record = ca.accelerate(net, batch=5).record
        assert record.options.engine != "onnxruntime"
        assert record.refused["onnxruntime float32"] == "it fails (MemoryError: bad allocation)"
        assert not any(name.startswith("onnxruntime") for name in record.milliseconds)
        with pytest.raises(ConvAtlasError, match=r"^it fails \(MemoryError: bad allocation\)$"):
            ca.accelerate(net, "onnxruntime", batch=5)


def test_a_choice_that_fails_at_the_next_start_is_searched_again(net: Net, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patched(patch, {"eager": [9.0], "onnxruntime": [6.0], "openvino": [7.0]})
        first = ca.accelerate(net, batch=5).record
        assert (first.options.engine, first.settled) == ("onnxruntime", False)
    failing(monkeypatch, 5)
    assert ca.accelerate(net, batch=5).record.options.engine != "onnxruntime"
