"""What engines and files are compared with: float64 whatever the net's code says, and no net that is random."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, first_line
from convatlas.engines.export import export as exporting
from convatlas.engines.export import graph
from convatlas.engines.parity.float64 import run_in_float64
from convatlas.engines.parity.reference import STATED, Reference

KERNEL = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(0))
SCRIPTED = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()))


class Odd(nn.Module):
    """A net of the user that applies `work` to a feature map."""

    def __init__(self, work: Callable[[Odd, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.work = nn.Conv2d(3, 4, 3), work
        self.kernel = KERNEL.clone()
        self.register_buffer("state", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.work(self, self.conv(x))


def to_buffer(net: Odd, y: Tensor) -> Tensor:
    net.state[1:] = y.mean((0, 2, 3))[1:]
    return y * net.state[:, None, None]


def with_numpy(net: Odd, y: Tensor) -> Tensor:
    return y + torch.from_numpy(y.detach().numpy().copy())


def picky(net: Odd, y: Tensor) -> Tensor:
    if y.dtype != torch.float32:
        raise TypeError("float32 only")
    return y * 2


# What a net's code may say about dtypes, and the same for a map in float64.
SPELLINGS: dict[str, tuple[Callable[[Odd, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "constant": (lambda net, y: y @ torch.eye(6).cumsum(0), lambda y: y.flip(-1).cumsum(-1).flip(-1)),
    "float": (lambda net, y: y.float() / 3, lambda y: y / 3),
    "type": (lambda net, y: y.type(torch.FloatTensor) / 3, lambda y: y / 3),
    "default": (lambda net, y: y.to(torch.get_default_dtype()).exp(), torch.exp),
    "attribute": (lambda net, y: functional.conv2d(y, net.kernel), lambda y: functional.conv2d(y, KERNEL.double())),
    "list": (lambda net, y: y * torch.tensor([0.5]), lambda y: y * 0.5),
    "zeros": (lambda net, y: torch.zeros(y.shape).add_(y).sqrt_().nan_to_num_(), lambda y: y.sqrt().nan_to_num()),
    "buffer": (to_buffer, lambda y: y * torch.cat([torch.zeros(1), y.mean((0, 2, 3))[1:]])[:, None, None]),
    "numpy": (with_numpy, lambda y: 2 * y),
    "fft": (lambda net, y: torch.fft.rfft2(y).abs(), lambda y: torch.fft.rfft2(y).abs()),
    "script": (
        lambda net, y: SCRIPTED(y),
        lambda y: functional.conv2d(y, *(p.detach().double() for p in SCRIPTED.parameters())).sigmoid(),
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_net_is_computed_in_float64_whatever_its_code_says(name: str) -> None:
    work, right = SPELLINGS[name]
    net, x = Odd(work).eval(), torch.rand(2, 3, 8, 8)
    weights = [parameter.detach().double() for parameter in net.conv.parameters()]
    with torch.no_grad():
        expected = right(functional.conv2d(x.double(), *weights))
    y = run_in_float64(net, x)
    assert y is not None
    assert y.dtype == torch.float64
    torch.testing.assert_close(y.clone(), expected, rtol=1e-13, atol=1e-13)
    assert not net.state.any()
    reference = Reference(net, x)
    assert 0 < reference.bound < 1e-4
    assert next(net.parameters()).dtype == net.kernel.dtype == torch.float32


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
@pytest.mark.parametrize("name", ["constant", "attribute"])
def test_export_makes_no_demand_on_dtypes(name: str, ending: str, tmp_path: Path) -> None:
    assert ca.export(Odd(SPELLINGS[name][0]), tmp_path / f"net{ending}", size=8).is_file()


def test_a_net_that_float64_cannot_compute_has_a_stated_bound() -> None:
    reference = Reference(Odd(picky).eval(), torch.rand(2, 3, 8, 8))
    assert (reference.double, reference.bound) == (None, STATED)
    assert reference.deviation(reference.single + 0.9 * STATED * reference.scale).holds
    assert not reference.deviation(reference.single + 1.1 * STATED * reference.scale).holds


def test_files_of_such_a_net_are_compared_in_float32(store: Path, tmp_path: Path, monkeypatch) -> None:
    net = Odd(picky).eval()
    assert ca.accelerate(net, "onnxruntime", size=8).record.bound == STATED
    for ending in exporting.GRAPHS:
        assert ca.export(net, tmp_path / f"net{ending}", size=8).is_file()
    program = exporting.export_program

    def spoilt(net: nn.Module, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
        exported = program(Odd(picky), shape)
        exported.state_dict["conv.weight"].data.mul_(1.01)
        return exported

    monkeypatch.setattr(exporting, "export_program", spoilt)
    for ending in exporting.GRAPHS:
        with pytest.raises(ConvAtlasError, match=r"deviations; 1\.0e-03 is allowed"):
            ca.export(net, tmp_path / f"other{ending}", size=8)


RANDOM: dict[str, Callable[[Odd, Tensor], Tensor]] = {
    "dropout": lambda net, y: functional.dropout(y, 0.5),
    "rarely": lambda net, y: functional.dropout(y, 0.01),
    "noise": lambda net, y: y + 1e-3 * torch.randn_like(y),
    "python": lambda net, y: y if random.random() < 0.5 else -y,
    "numpy": lambda net, y: y * float(np.random.randint(1, 3)),  # noqa: NPY002
    "counter": lambda net, y: y * net.state.add_(1).sum(),
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_net_that_is_random_at_rest_is_refused(name: str, tmp_path: Path) -> None:
    random.seed(0)
    net = Odd(RANDOM[name])
    state = torch.get_rng_state()
    for ending in exporting.GRAPHS:
        with pytest.raises(ConvAtlasError, match="Odd has other outputs each time") as error:
            ca.export(net, tmp_path / f"net{ending}", size=8)
        assert "\n" not in str(error.value)
    for engine in ("auto", "eager"):
        with pytest.raises(ConvAtlasError, match="Odd has other outputs each time"):
            ca.accelerate(net, engine, size=8)
    assert list(tmp_path.iterdir()) == []
    assert torch.equal(torch.get_rng_state(), state)


def test_random_numbers_without_effect_are_allowed(tmp_path: Path) -> None:
    net = Odd(lambda net, y: functional.dropout(y, 0.5, training=net.training) + 0 * torch.rand(1))
    assert ca.export(net.train(), tmp_path / "net.onnx", size=8).is_file()


def test_a_net_may_change_its_input(store: Path) -> None:
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3))
    x = torch.randn(2, 3, 8, 8)
    before = x.clone()
    reference = Reference(net.eval(), x)
    assert reference.bound < 1e-4
    assert torch.equal(x, before)
    for engine in ("eager", "onnxruntime"):
        fast = ca.accelerate(net, engine, size=8)
        assert torch.allclose(fast(x), torch.from_numpy(reference.single), atol=1e-5)
        assert torch.equal(x, before)


def test_weights_that_are_too_large_for_one_file(tmp_path: Path, monkeypatch) -> None:
    net, x = ca.build("lenet5", seed=1).eval(), torch.rand(2, 1, 32, 32)
    monkeypatch.setattr(graph, "LARGEST", 1000)
    file = ca.export(net, tmp_path / "deep" / "net.onnx")
    data = file.with_name("net.onnx.data")
    assert sorted(path.name for path in file.parent.iterdir()) == ["net.onnx", "net.onnx.data"]
    assert data.stat().st_size > 200_000 > file.stat().st_size
    reference = Reference(net, x)
    moved = file.parent.rename(tmp_path / "moved") / "net.onnx"
    session = onnxruntime.InferenceSession(moved, providers=["CPUExecutionProvider"])
    assert reference.deviation(session.run(None, {"photos": x.numpy()})[0]).holds


def test_every_engine_takes_weights_in_a_file_of_their_own(store: Path, tmp_path: Path, monkeypatch) -> None:
    net, x = ca.build("lenet5", seed=1).eval(), torch.rand(2, 1, 32, 32)
    monkeypatch.setattr(graph, "LARGEST", 1000)
    reference = Reference(net, x)
    moved = ca.export(net, tmp_path / "deep" / "net.onnx")
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    assert reference.deviation(openvino.compile_model(moved, "CPU", config)(x.numpy())[0]).holds
    assert ca.export(net, tmp_path / "net.XML").is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["net.XML", "net.bin"]
    for engine in ("onnxruntime", "openvino"):
        assert ca.accelerate(net, engine).record.options.engine == engine
    (kept,) = store.glob("engines/*/net.onnx.data")
    right = kept.read_bytes()
    kept.write_bytes(right[: len(right) // 2])
    assert reference.deviation(ca.accelerate(net, "onnxruntime")(x).numpy()).holds
    assert kept.read_bytes() == right


def test_an_error_without_a_text_quotes_the_line_that_raised_it() -> None:
    def halo(net: Odd, y: Tensor) -> Tensor:
        raise AssertionError

    line = r"AssertionError: raise AssertionError \(test_parity\.py, line"
    with pytest.raises(ConvAtlasError, match=f"Odd cannot take an input of 3 x 8 x 8: {line}"):
        ca.accelerate(Odd(halo), size=8)
    assert first_line(ValueError("\n\x1b[1mtwo\nlines")) == r"ValueError: \u001b[1mtwo"
    assert first_line(KeyError()) == "KeyError"
