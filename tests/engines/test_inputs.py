"""Nets that take no photo: sounds, volumes and tokens in every engine and every file; what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.engines.parity.reference import Reference


def sound() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3)
    )


def volume() -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))


def tokens() -> nn.Module:
    return nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(8 * 6, 3))


INPUTS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Callable[[int], Tensor]]] = {
    "sound": (sound, (2, 40), lambda count: torch.randn(count, 2, 40)),
    "volume": (volume, (1, 6, 7, 8), lambda count: torch.randn(count, 1, 6, 7, 8)),
    "tokens": (tokens, (6,), lambda count: torch.randint(0, 50, (count, 6))),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("engine", ["eager", "onnxruntime", "openvino"])
def test_an_engine_runs_nets_of_other_inputs(name: str, engine: str, store: Path) -> None:
    make, shape, draw = INPUTS[name]
    torch.manual_seed(0)
    net = make().eval()
    for wish in ({"input_shape": shape}, {"inputs": draw(1)}):
        fast = ca.accelerate(net, engine, batch=2, **wish)
        assert fast.record.shape == shape
        assert fast.record.options.engine == engine
        for count in (1, 5):
            x = draw(count)
            y = fast(x)
            assert Reference(net, x).deviation(y.numpy()).holds
            assert np.array_equal(fast(x.numpy()), y.numpy())


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("ending", [".onnx", ".xml", ".pt2"])
def test_a_file_holds_nets_of_other_inputs(name: str, ending: str, tmp_path: Path) -> None:
    make, shape, draw = INPUTS[name]
    net, x = make().eval(), draw(3)
    file = ca.export(net, tmp_path / f"net{ending}", input_shape=shape)
    assert ca.export(net, tmp_path / f"other{ending}", inputs=x).is_file()
    if ending == ".onnx":
        y = onnxruntime.InferenceSession(file).run(None, {"photos": x.numpy()})[0]
        assert Reference(net, x).deviation(y).holds


def test_bench_measures_nets_of_other_inputs(store: Path) -> None:
    bench = ca.bench("tests.engines.test_inputs:tokens", engines=["eager"], batches=[2], input_shape=(6,))
    assert [(time.net, time.size) for time in bench.times] == [("tests.engines.test_inputs:tokens", 0)]
    assert bench.refused == ()


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.dense(x + y)


def test_what_an_engine_does_not_take(store: Path, tmp_path: Path) -> None:
    pair = torch.zeros(1, 4), torch.zeros(1, 4)
    for inputs in (pair, {"x": pair[0], "y": pair[1]}):
        with pytest.raises(ConvAtlasError, match="nets that take one tensor; Pair is called with 2 in another form"):
            ca.accelerate(Pair(), inputs=inputs)
        with pytest.raises(ConvAtlasError, match="nets that take one tensor"):
            ca.export(Pair(), tmp_path / "net.onnx", inputs=inputs)
    with pytest.raises(ConvAtlasError, match=r"inputs= and input_shape= are for graphs: \.onnx, \.xml, \.pt2"):
        ca.export(ca.build("lenet1"), tmp_path / "net.pth", input_shape=(1, 28, 28))
    with pytest.raises(ConvAtlasError, match="either inputs, or input_shape, or size"):
        ca.accelerate(sound(), inputs=torch.zeros(1, 2, 40), input_shape=(2, 40))
    with pytest.raises(SizeError, match=r"Conv1d|Sequential cannot take an input of 3 x 40"):
        ca.accelerate(sound(), input_shape=(3, 40))
    with pytest.raises(ConvAtlasError, match="a batch of real numbers"):
        ca.accelerate(sound(), inputs=torch.zeros(1, 2, 40, dtype=torch.cfloat))
    fast = ca.accelerate(tokens(), "eager", input_shape=(6,))
    assert fast.record.dtype == "int64"
    with pytest.raises(ConvAtlasError, match=r"an array of whole numbers, not torch\.float32"):
        fast(torch.zeros(1, 6))
    assert fast(np.zeros((1, 6), np.int32)).shape == (1, 3)
    with pytest.raises(SizeError, match=r"takes \(N, 6\)"):
        fast(torch.zeros(1, 7, dtype=torch.int64))
    assert not (tmp_path / "net.onnx").exists()
