"""Accelerated nets: the same outputs, the net's own interface, what is remembered, what is refused."""

from __future__ import annotations

import copy
import errno
import json
import math
import pickle
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.engines.nets import onnx_bytes
from tests.engines.test_export import Fft, Two, own
from torch import nn

import convatlas as ca
from convatlas.base import extras, machine
from convatlas.base.errors import ConvAtlasError, SizeError, StoreError, UnknownName
from convatlas.base.machine import threads
from convatlas.base.store.sealed import read_sealed_json
from convatlas.engines import accelerate as accelerating
from convatlas.engines import backend, sandbox, store_folder, workspace
from convatlas.engines.accelerated_net import AcceleratedNet, Acceleration
from convatlas.engines.backends import openvino
from convatlas.engines.backends.eager import EagerMode
from convatlas.engines.export.graph import export_program
from convatlas.engines.options import Options
from convatlas.engines.parity.reference import Reference
from convatlas.engines.registry import backends, candidates
from convatlas.engines.sample_inputs import NetInput, evaluation_copy
from convatlas.engines.search import trials
from convatlas.engines.search.search import Search
from convatlas.engines.session import batches
from convatlas.images.samples import sample
from convatlas.nets.net import Net


@pytest.fixture
def net() -> Net:
    return ca.build("lenet5", seed=3).eval()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the compiler, which takes long, where a test is not about it."""
    monkeypatch.setenv("CXX", "no-such-compiler")


def check(fast: AcceleratedNet, net: nn.Module) -> None:
    for count in (1, 2, 5):
        x = torch.rand(count, *fast.record.shape, generator=torch.Generator().manual_seed(count))
        reference = Reference(net, x)
        y = fast(x)
        assert isinstance(y, torch.Tensor)
        assert reference.deviation(y.numpy()).holds
        assert np.array_equal(fast(x.numpy()), y.numpy())


@pytest.mark.parametrize(("engine", "batch"), [("eager", 4), ("onnxruntime", 1), ("openvino", 1), ("openvino", 4)])
def test_an_engine_has_the_outputs_of_eager_mode(engine: str, batch: int, net: Net) -> None:
    fast = ca.accelerate(net, engine, batch=batch)
    assert fast.record.options.engine == engine
    assert fast.record.error <= fast.record.bound < 1e-3
    check(fast, net)


@pytest.mark.sweep
def test_the_compiled_engine(net: Net, store: Path) -> None:
    fast = ca.accelerate(net, "compiled", batch=2)
    check(fast, net)
    before = sorted(store.glob("engines/*/compiled-*.pt2"))
    assert len(before) == 1
    stamp = before[0].stat().st_mtime_ns
    check(ca.accelerate(net, "compiled", batch=2), net)
    assert before[0].stat().st_mtime_ns == stamp


def test_eager_mode_tries_both_memory_layouts(net: Net) -> None:
    fast = ca.accelerate(net, "eager", batch=2)
    assert set(fast.record.milliseconds) == {"eager float32, 2 a run", "eager float32, 2 a run, channels last"}
    check(fast, net)
    before = [parameter.data_ptr() for parameter in net.parameters()]
    session = EagerMode(net, channels_last=True)
    x = torch.rand(2, *fast.record.shape)
    assert Reference(net, x).deviation(session(x.numpy())).holds
    assert all(
        not parameter.is_contiguous()
        for parameter in session.net.parameters()
        if parameter.dim() == 4 and parameter.shape[1] > 1
    )
    assert [parameter.data_ptr() for parameter in net.parameters()] == before
    assert len(ca.accelerate("mlp_300", "eager", weights="none").record.milliseconds) == 1


def test_interface_of_the_net(no_compiler: None) -> None:
    net = ca.load("efficientnet_lite0")
    fast = ca.accelerate(net, "onnxruntime")
    x = fast.preprocess(sample("coffee"))[None]
    assert torch.equal(x, net.preprocess(sample("coffee"))[None])
    assert (fast.card, fast.lineage, fast.classes) == (net.card, net.lineage, 1000)
    assert (fast.channels, fast.size) == (3, (224, 224))
    assert fast.lineage.class_names[int(fast(x).argmax())] == "espresso"
    features = fast.features(x)
    assert all(torch.equal(features[name], y) for name, y in net.features(x).items())
    assert "efficientnet_lite0: onnxruntime float32, 1 a run" in str(fast.record)
    assert "ms a photo" in repr(fast)
    assert json.loads(fast.record.to_json())["weights"] == "lite"


def test_auto_takes_the_fastest_that_was_measured(net: Net, no_compiler: None, capsys) -> None:
    record = ca.accelerate(net, batch=4).record
    assert capsys.readouterr().err.startswith("convatlas: trying which engine is fastest here")
    ca.accelerate(net, batch=4)
    assert capsys.readouterr().err == ""
    assert set(backends()) - {"compiled"} <= {name.split()[0] for name in record.milliseconds}
    assert record.milliseconds[str(record.options)] == min(record.milliseconds.values())


def test_what_was_measured_is_remembered(net: Net, store: Path, monkeypatch) -> None:
    def accelerate(net: nn.Module | str, engine: str = "eager", **wish: object) -> Acceleration:
        return ca.accelerate(net, engine, **wish).record

    first = accelerate(net)
    calls: list[str] = []
    best = Search.fastest
    monkeypatch.setattr(Search, "fastest", lambda self, *wish: calls.append("") or best(self, *wish))
    assert accelerate(net).milliseconds.keys() == first.milliseconds.keys()
    assert accelerate("lenet5", weights="none").net == "lenet5"
    assert len(calls) == 1  # of seed 0: other weights
    for changed in ({"batch": 2}, {"engine": "onnxruntime"}, {"size": 32}):
        accelerate(net, **changed)
    assert len(calls) == 3  # its own size is no other
    with torch.no_grad():
        next(net.parameters()).mul_(2)
    accelerate(net)
    assert len(calls) == 4
    monkeypatch.setattr(machine, "cpu", lambda: "another")
    accelerate(net)
    assert len(calls) == 5
    monkeypatch.setattr(machine, "threads", lambda: 99)
    accelerate(net)
    assert len(calls) == 6


def test_the_folder_depends_on_all_that_a_net_computes_with() -> None:
    net = ca.build("neocognitron")
    first = store_folder.folder_of(net, NetInput((1, 16, 16)))
    assert store_folder.folder_of(ca.build("neocognitron"), NetInput((1, 16, 16))) == first
    cells = next(module for module in net.modules() if hasattr(module, "selectivity"))
    for change in (lambda: setattr(cells, "selectivity", 9.0), lambda: cells.weight.data.add_(1), net.half):
        change()
        assert store_folder.folder_of(net, NetInput((1, 16, 16))) != first
        first = store_folder.folder_of(net, NetInput((1, 16, 16)))


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"options": 1}'])
def test_a_damaged_record_is_replaced(damage: bytes, net: Net, store: Path) -> None:
    ca.accelerate(net, "eager")
    (note,) = store.glob("engines/*/eager-*.json")
    note.write_bytes(damage)
    check(ca.accelerate(net, "eager"), net)
    assert read_sealed_json(note)["net"] == "lenet5"


def test_a_replaced_or_damaged_file_is_written_again(net: Net, store: Path) -> None:
    ca.accelerate(net, "onnxruntime")
    (graph,) = store.glob("engines/*/net.onnx")
    right = graph.read_bytes()
    for other in (
        onnx_bytes(export_program(ca.build("lenet1"), torch.zeros(2, 1, 28, 28)), {}),
        right[: len(right) // 2],
    ):
        graph.write_bytes(other)
        fast = ca.accelerate(net, "onnxruntime")
        assert fast.record.options.engine == "onnxruntime"
        check(fast, net)
        assert len(graph.read_bytes()) == len(right)


def test_damage_too_small_for_the_check_of_the_answers(net: Net, store: Path) -> None:
    ca.accelerate(net, "onnxruntime")
    (graph,) = store.glob("engines/*/net.onnx")
    weight = next(net.parameters()).detach().numpy().tobytes()
    place = graph.read_bytes().index(weight)
    with graph.open("r+b") as file:
        file.seek(place)
        file.write(bytes([weight[0] ^ 1]))
    check(ca.accelerate(net, "onnxruntime"), net)
    assert weight in graph.read_bytes()


def test_an_engine_with_wrong_outputs_is_refused(net: Net, store: Path, no_compiler: None, monkeypatch) -> None:
    other = onnx_bytes(export_program(ca.build("lenet5", seed=4), torch.zeros(2, 1, 32, 32)), {})
    monkeypatch.setattr(workspace, "write_onnx", lambda program, metadata, file: file.write_bytes(other))
    monkeypatch.setattr(trials, "run_in_sandbox", lambda *wish: None)
    for _ in range(2):
        with pytest.raises(ConvAtlasError, match=r"differs from eager by .* is allowed"):
            ca.accelerate(net, "onnxruntime")
    record = ca.accelerate(net).record
    assert record.options.engine == "eager"
    assert "differs from eager" in record.refused["onnxruntime float32"]


def test_a_store_that_cannot_be_written(net: Net, store: Path, monkeypatch) -> None:
    def full(program: object, metadata: object, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(workspace, "write_onnx", full)
        with pytest.raises(StoreError, match=r"net\.onnx cannot be used: No space left on device; CONVATLAS_HOME"):
            ca.accelerate(net, "onnxruntime")
        assert not list(store.glob("engines/*/*"))
    first = ca.accelerate(net, "onnxruntime").record

    @contextmanager
    def read_only(path: Path) -> Iterator[bool]:
        yield False

    monkeypatch.setattr(accelerating, "locked_if_writable", read_only)
    before = sorted(store.rglob("*"))
    assert ca.accelerate(net, "onnxruntime").record == first
    assert ca.accelerate(net, "eager", batch=2).record.batch == 2
    other = ca.accelerate(net, "onnxruntime", batch=2)
    assert other.record.options.engine == "onnxruntime"
    check(other, net)
    assert ca.accelerate(net, batch=2).record.options.engine == "eager"
    assert sorted(store.rglob("*")) == before


def test_files_in_the_working_directory_are_not_imported(net: Net, store: Path, tmp_path: Path, monkeypatch) -> None:
    for name in ("onnxruntime", "numpy", "convatlas"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    check(ca.accelerate(net, "onnxruntime"), net)


def test_threads_may_share_it(net: Net) -> None:
    x = [np.full((5, 1, 32, 32), number, np.float32) for number in (1, 2)]
    for engine in ("openvino", "eager"):
        fast = ca.accelerate(net, engine, batch=4)
        right = [fast(inputs) for inputs in x]
        with ThreadPoolExecutor(2) as pool:
            outputs = list(pool.map(lambda number, fast=fast: fast(x[number]), [0, 1] * 40))
        assert all(np.array_equal(y, right[place % 2]) for place, y in enumerate(outputs)), engine


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("callers", [2, 3])
def test_concurrent_callers(net: Net, engine: str, callers: int) -> None:
    """Concurrent threads get the outputs for their own inputs."""
    x = [np.full((5, 1, 32, 32), number, np.float32) for number in (1, 2)]
    fast = ca.accelerate(net, engine, batch=4)
    right, session = [fast(inputs) for inputs in x], fast.session.shared(callers)
    with ThreadPoolExecutor(callers) as pool:
        outputs = list(pool.map(lambda number: session(x[number]), [0, 1] * 40))
    for place, y in enumerate(outputs):
        np.testing.assert_allclose(y, right[place % 2], rtol=1e-5, atol=1e-5)


def test_later_changes_to_the_net_do_not_affect_it(net: Net) -> None:
    fast = ca.accelerate(net, "eager", batch=2)
    for layout in (False, True):
        fast.session = EagerMode(evaluation_copy(net), layout)
        x = torch.rand(1, 1, 32, 32)
        before = fast(x)
        net.train()
        with torch.no_grad():
            next(net.parameters()).mul_(2)
        assert torch.equal(fast(x), before)
        assert net.training
    drops = ca.build("alexnet", classes=2, size=64)
    x = torch.rand(1, 3, 64, 64)
    features = AcceleratedNet(drops, None, fast.record).features
    assert all(torch.equal(features(x)[name], y) for name, y in features(x).items())
    assert drops.training


def test_accepted_inputs(net: Net) -> None:
    fast = ca.accelerate(net, "eager")
    x = np.random.default_rng(0).random((2, 1, 32, 32), np.float32)
    fixed = x.copy()
    fixed.flags.writeable = False
    mirrored = np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    with warnings.catch_warnings(action="error"):
        for same in (x, x.astype(np.float64), fixed, mirrored, np.asfortranarray(x)):
            assert np.array_equal(fast(same), fast(x))
        for ours in (torch.from_numpy(x).requires_grad_(), torch.from_numpy(x).double()):
            y = fast(ours)
            assert np.array_equal(y.numpy(), fast(x))
            assert not y.requires_grad
        whole = (255 * x).astype(np.uint8)
        assert np.array_equal(fast(whole), fast(whole.astype(np.float32)))
    for wrong in (x.tolist(), None, "cat.jpg", x.astype(complex), x.astype(object), torch.from_numpy(x).cfloat()):
        with pytest.raises(ConvAtlasError, match="takes a tensor or an array of real numbers, not"):
            fast(wrong)


def test_an_engine_cannot_be_copied(net: Net) -> None:
    fast = ca.accelerate(net, "eager")
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(ConvAtlasError, match=r"pass its \.net instead"):
            way(fast)


class Odd(nn.Module):
    """A net of the user that applies `work` to a feature map."""

    def __init__(self, work: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.conv, self.work = nn.Conv2d(3, 4, 3), work

    def forward(self, x: torch.Tensor) -> object:
        return self.work(self.conv(x))


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda y: y * math.nan, "outputs that are not finite"),
        (lambda y: y @ torch.ones(5, 5), r"cannot take an input of 3 x 8 x 8: RuntimeError: "),
        (lambda y: {}["a\nb"], r"cannot take an input of 3 x 8 x 8: KeyError"),
        (lambda y: y[:1], r"a row for each photo; Odd gives \(1, 4, 6, 6\) for 2"),
        (lambda y: y[:, :0], "a row for each photo"),
        (lambda y: y.mean(), "a row for each photo"),
    ],
)
def test_nets_that_no_engine_can_run(work, message: str) -> None:
    for engine in ("auto", "eager"):
        with pytest.raises(ConvAtlasError, match=message) as error:
            ca.accelerate(Odd(work), engine, size=8)
        assert "\n" not in str(error.value)
    with pytest.raises(SizeError, match="LeNet cannot take an input of 1 x 64 x 64"):
        ca.accelerate("lenet5", weights="none", size=64)
    held = Odd(torch.relu)
    held.map = held.conv(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ConvAtlasError, match="Odd cannot be copied: RuntimeError"):
        ca.accelerate(held, size=8)


def test_the_folder_depends_on_tensors_and_functions_of_a_net() -> None:
    net = Odd(torch.relu)
    folders = [store_folder.folder_of(net, NetInput((3, 8, 8)))]
    for work in (nn.functional.gelu, nn.functional.silu):
        net.work = work
        folders.append(store_folder.folder_of(net, NetInput((3, 8, 8))))
    for number in (1, 2):
        net.scale = torch.tensor(number)
        folders.append(store_folder.folder_of(net, NetInput((3, 8, 8))))
    assert len(set(folders)) == 5
    assert store_folder.folder_of(net, NetInput((3, 8, 8))) == folders[-1]


def test_a_crash_is_survived_and_named(net: Net, store: Path, no_compiler: None, tmp_path: Path, monkeypatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -FPE $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    record = ca.accelerate(net).record
    assert record.options.engine == "eager"
    assert record.refused["onnxruntime float32"] == "onnxruntime crashed (SIGFPE)"
    assert record.refused["openvino float32"] == "openvino crashed (SIGFPE)"
    assert "not onnxruntime float32: onnxruntime crashed" in str(record)
    with pytest.raises(ConvAtlasError, match=r"openvino crashed \(SIGFPE\)"):
        ca.accelerate(net, "openvino")


def test_a_hanging_engine_is_given_up(net: Net, store: Path, tmp_path: Path, monkeypatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sandbox, "TIMEOUT", 0.2)
    with pytest.raises(ConvAtlasError, match="onnxruntime was given up"):
        ca.accelerate(net, "onnxruntime")


def test_a_missing_operation_is_named(store: Path, no_compiler: None) -> None:
    net = Fft()
    with pytest.raises(ConvAtlasError, match="bessel_j0"):
        ca.accelerate(net, "onnxruntime", size=8)
    fast = ca.accelerate(net, size=8)
    assert fast.record.options.engine == "eager"
    assert "bessel_j0" in fast.record.refused["openvino float32"]
    check(fast, net)
    with pytest.raises(ConvAtlasError, match="one tensor"):
        ca.accelerate(Two(), size=8)


def test_a_net_of_the_user(store: Path) -> None:
    net = own()
    fast = ca.accelerate(net, "onnxruntime", size=(8, 9))
    assert fast.size == (8, 9)
    assert net.training
    check(fast, net)
    with pytest.raises(ConvAtlasError, match="of your own, without a card and named stages"):
        fast.card
    # The same weights in another net: its code is part of the key.
    assert store_folder.folder_of(net, NetInput((3, 8, 9))) != store_folder.folder_of(Fft(), NetInput((3, 8, 9)))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_that_is_not_installed(engine: str, net: Net, store: Path, no_compiler: None, monkeypatch) -> None:
    monkeypatch.setattr(backend, "installed", lambda name: name != engine)
    with pytest.raises(ConvAtlasError, match=rf"{engine} is not installed: pip install 'convatlas\[engines\]'"):
        ca.accelerate(net, engine)
    assert engine not in {options.engine for options in candidates("auto", "float32", 1)}


def test_without_a_compiler(net: Net, store: Path, no_compiler: None) -> None:
    with pytest.raises(ConvAtlasError, match=r"needs a C\+\+ compiler"):
        ca.accelerate(net, "compiled")


def test_wrong_arguments(net: Net, store: Path) -> None:
    with pytest.raises(UnknownName, match="onnxruntime"):
        ca.accelerate(net, "onnxruntim")
    for precision in ("float23", None, ["int8"]):
        with pytest.raises(UnknownName, match=r"float32|int8"):
            ca.accelerate(net, precision=precision)
    with pytest.raises(ConvAtlasError, match="onnxruntime computes in float32; bfloat16 has openvino"):
        ca.accelerate(net, "onnxruntime", "bfloat16")
    for batch in (0, -1, 1.5, True, "2", 10**9):
        with pytest.raises(ConvAtlasError, match="from 1 to 4096"):
            ca.accelerate(net, batch=batch)
    with pytest.raises(ConvAtlasError, match="not dict"):
        ca.accelerate({})
    fast = ca.accelerate(net, "eager")
    for shape in ((1, 32, 32), (1, 3, 32, 32), (0, 1, 32, 32), (1, 1, 31, 32)):
        with pytest.raises(SizeError, match=r"takes \(N, 1, 32, 32\)"):
            fast(torch.zeros(shape))
    assert extras.installed("onnxruntime")
    assert shutil.which("g++")


def test_batches_have_one_size() -> None:
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    parts = batches(x, 2)
    assert [len(part) for part in parts] == [2, 2, 2]
    assert np.array_equal(np.concatenate(parts)[:5], x)
    assert np.array_equal(parts[2][0], parts[2][1])


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert threads() >= 1


def test_options_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "threads", lambda: 2)
    shown = [str(options) for options in candidates("openvino", "float32", 16)]
    assert shown == [
        "openvino float32, 16 a run",
        "openvino float32, 1 a run x 2 side by side",
        "openvino float32, 8 a run x 2 side by side",
    ]
    assert Options(**Options("eager", "float32", 1).to_dict()) == Options("eager", "float32", 1)
