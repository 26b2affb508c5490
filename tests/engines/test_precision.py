"""Reduced precision: agreement is measured where float32 is sure, and "auto" never chooses what does not agree."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import openvino
import pytest
import torch
from tests.engines.nets import digits
from tests.nets.nets import SMALL
from torch import nn

import convatlas as ca
from convatlas.base.errors import ConvAtlasError
from convatlas.engines.agreement import Agreement, agreement
from convatlas.engines.backends import openvino as openvino_backend
from convatlas.engines.backends.openvino import OpenVINO
from convatlas.engines.export.graph import export_program, write_onnx
from convatlas.engines.export.quantize import quantize, without_control
from convatlas.engines.sample_inputs import NetInput, crops, sample_inputs
from convatlas.engines.search import reduced, stopwatch, trials
from convatlas.images.samples import SAMPLES, sample
from convatlas.nets.net import Net


def test_agreement_counts_where_float32_is_sure() -> None:
    right = np.log(np.array([[0.8, 0.2], [0.55, 0.45], [0.3, 0.7], [0.9, 0.1]], np.float32))
    other = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], np.float32)
    assert agreement(right, other) == Agreement(3, pytest.approx(2 / 3))
    assert not agreement(right, other).holds
    assert agreement(right, right).holds
    assert str(agreement(right, right)) == "100.0 % of 3 photos"
    assert agreement(right[1:2], right[1:2]) == Agreement(0, 0.0)
    assert not Agreement(0, 1.0).holds
    assert agreement(right, np.full_like(right, np.nan)).share < 1
    assert agreement(right[:, :1], right[:, :1]).sure == 4
    assert Agreement(3, 1.0) + Agreement(1, 0.0) == Agreement(4, 0.75)
    assert Agreement(0, 0.0) + Agreement(0, 0.0) == Agreement(0, 0.0)


def test_being_sure_depends_on_the_kind_of_outputs() -> None:
    lengths = np.array([[0.9, 0.1, 0.2], [0.5, 0.4, 0.1]], np.float32)
    other = np.array([[0.9, 0.1, 0.2], [0.4, 0.5, 0.1]], np.float32)
    assert agreement(lengths, other, "identity") == Agreement(1, 1.0)
    # As logits the same numbers lead by more, or less.
    assert agreement(3 * lengths, other).sure == 1
    assert agreement(2 * lengths - 1, other, "halved").sure == 1
    assert agreement(lengths / 2, other).sure == 0


def test_crops_of_the_sample_photos() -> None:
    first, other, again = (list(crops(9, seed)) for seed in (1, 2, 1))
    assert all(piece.ndim == 3 and piece.shape[0] == piece.shape[1] >= 100 for piece in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.fixture(name="digits")
def small() -> Net:
    return digits()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the compiler and the sandbox, and pretend a CPU with bfloat16 (OpenVINO computes in float32 then)."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(openvino_backend, "capabilities", lambda: ("FP32", "BF16"))
    monkeypatch.setattr(trials, "run_in_sandbox", lambda *wish: None)


def test_sample_inputs_have_the_preprocessing_of_the_weights(digits: Net) -> None:
    x = sample_inputs(digits, 5, NetInput((1, 32, 32)))
    assert x.shape == (5, 1, 32, 32)
    assert np.array_equal(x[0].numpy(), digits.lineage.prepare(next(crops(1))))
    assert sample_inputs(digits, 2, NetInput((1, 40, 48))).shape == (2, 1, 40, 48)
    assert sample_inputs(ca.build("lenet1"), 2, NetInput((1, 28, 28))).min() >= 0


def test_int8_with_photos_of_the_user(digits: Net, store: Path, quick: None, monkeypatch) -> None:
    passed: list[tuple[np.ndarray, np.ndarray]] = []

    def look(graph: Path, file: Path, calibration: np.ndarray, proof: np.ndarray, **rest: object) -> NoReturn:
        passed.append((calibration, proof))
        raise ConvAtlasError("seen")

    monkeypatch.setattr(openvino_backend, "quantize", look)
    folder = store.with_name("photos")
    folder.mkdir()
    for name in SAMPLES[:3]:
        shutil.copy(sample(name), folder)
    digits.lineage = replace(digits.lineage, preprocessing=replace(digits.lineage.preprocessing, size=(40, 40)))
    for photos in (
        folder,
        str(folder),
        [sample("coffee"), sample("rocket"), "nowhere.png", np.zeros((9, 9, 3), np.uint8)],
    ):
        with pytest.raises(ConvAtlasError, match="seen"):
            ca.accelerate(digits, "openvino", "int8", size=32, photos=photos)
    assert all(part.shape[1:] == (1, 32, 32) for both in passed for part in both)
    assert [len(calibration) + len(proof) for calibration, proof in passed] == [3, 3, 3]
    with pytest.raises(ConvAtlasError, match="1 could be read"):
        ca.accelerate(digits, "openvino", "int8", size=32, photos=sample("coffee"))


def test_int8_is_never_made_from_a_damaged_graph(digits: Net, store: Path, quick: None, monkeypatch) -> None:
    ca.accelerate(digits, "onnxruntime")
    (graph,) = store.glob("engines/*/net.onnx")
    right = graph.read_bytes()
    weights = digits.state_dict()["c5.conv.weight"].numpy().tobytes()
    graph.write_bytes(right.replace(weights, bytes(len(weights))))
    assert graph.read_bytes() != right
    quantized: list[bytes] = []

    def look(graph: Path, *rest: object, **others: object) -> NoReturn:
        quantized.append(graph.read_bytes())
        raise ConvAtlasError("seen")

    monkeypatch.setattr(openvino_backend, "quantize", look)
    with pytest.raises(ConvAtlasError, match="seen"):
        ca.accelerate(digits, "openvino", "int8")
    assert all(weights in read for read in quantized)


def test_outputs_that_are_not_classes(store: Path, quick: None) -> None:
    net = digits()
    net.cut_head([])
    record = ca.accelerate(net, precision="bfloat16").record
    assert (record.options.precision, record.top1) == ("float32", None)
    assert "this net's outputs are not classes" in record.refused["openvino bfloat16"]
    asked = ca.accelerate(net, "openvino", "bfloat16").record
    assert (asked.options.precision, asked.top1, asked.bound) == ("bfloat16", None, None)


def test_a_cpu_without_bfloat16(digits: Net, store: Path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(openvino_backend, "capabilities", lambda: ("FP32", "INT8"))
    with pytest.raises(ConvAtlasError, match="does not compute in bfloat16"):
        ca.accelerate(digits, "openvino", "bfloat16")
    record = ca.accelerate(digits, precision="bfloat16").record
    assert record.options.precision == "float32"
    assert "does not compute in bfloat16" in record.refused["openvino bfloat16"]
    assert "not openvino bfloat16: this CPU" in str(record)


@pytest.mark.parametrize(("share", "taken"), [(0.98, False), (0.99, True)])
def test_auto_chooses_only_what_agrees(
    share: float, taken: bool, digits: Net, store: Path, quick: None, monkeypatch
) -> None:
    monkeypatch.setattr(reduced, "agreement", lambda right, other, map: Agreement(500, share))
    monkeypatch.setattr(stopwatch, "rounds", lambda sessions, *rest: {
        options: [1.0 if options.precision == "bfloat16" else 2.0] for options in sessions
    })  # fmt: skip
    record = ca.accelerate(digits, precision="bfloat16").record
    assert (record.options.precision == "bfloat16") == taken
    assert record.top1 == (share if taken else None)
    message = "its top-1 class is float32's on 98.0 % of 500 photos; 99 % is required"
    assert record.refused.get("openvino bfloat16") == (None if taken else message)
    # An engine that is asked for runs in the precision, and reports the agreement.
    asked = ca.accelerate(digits, "openvino", "bfloat16").record
    assert (asked.options.precision, asked.top1) == ("bfloat16", share)
    assert asked.bound is None
    assert f"{100 * share:.1f} % of 500 photos with float32's top-1 class" in str(asked)
    assert json.loads(asked.to_json(), parse_constant=pytest.fail)["bound"] is None
    assert ca.accelerate(digits, "openvino", "bfloat16").record == asked


@pytest.mark.parametrize(
    ("share", "message"),
    [(Agreement(500, 1.0), "it is not faster"), (Agreement(0, 0.0), "float32 is sure of its top-1 class on none")],
)
def test_why_auto_stays_in_float32(
    share: Agreement, message: str, digits: Net, store: Path, quick: None, monkeypatch
) -> None:
    monkeypatch.setattr(reduced, "agreement", lambda right, other, map: share)
    monkeypatch.setattr(stopwatch, "rounds", lambda sessions, *rest: {
        options: [2.0 if options.precision == "bfloat16" else 1.0] for options in sessions
    })  # fmt: skip
    record = ca.accelerate(digits, precision="bfloat16").record
    assert record.options.precision == "float32"
    assert record.refused["openvino bfloat16"].startswith(message)


def test_random_weights_stay_in_float32(store: Path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    net = ca.build("lenet1").eval()
    with pytest.raises(ConvAtlasError, match="mean nothing with random weights"):
        ca.accelerate(net, "openvino", "int8")
    assert ca.accelerate(net, precision="int8").record.options.precision == "float32"


def test_what_quantization_needs(tmp_path: Path, monkeypatch) -> None:
    x = np.zeros((2, 1, 28, 28), np.float32)
    (tmp_path / "net.onnx").write_bytes(b"nothing")
    with pytest.raises(ConvAtlasError, match=r"NNCF cannot quantize this net: .*OpenVINO refuses net\.onnx"):
        quantize(tmp_path / "net.onnx", tmp_path / "int8.xml", x, x, routes=False)
    from convatlas.base import extras

    monkeypatch.setattr(extras, "installed", lambda name: name != "nncf")
    with pytest.raises(ConvAtlasError, match=r"nncf is not installed: pip install 'convatlas\[engines\]'"):
        quantize(tmp_path / "net.onnx", tmp_path / "int8.xml", x, x, routes=False)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


class Far(nn.Module):
    """A net that distinguishes ten kinds of photos; one convolution has inputs far from zero, where int8 is coarse."""

    def __init__(self, far: float) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3)
        self.far, self.head = far, nn.Linear(16, 10)

    @torch.no_grad()
    def fit(self, kinds: torch.Tensor) -> Far:
        maps = kinds
        for conv, far in ((self.a, 0.0), (self.b, self.far), (self.c, 0.0)):
            std, mean = torch.std_mean(conv(maps + far), (0, 2, 3))
            conv.weight /= std[:, None, None, None]
            conv.bias.copy_((conv.bias - mean) / std)
            maps = conv(maps + far).relu()
        means = maps.mean((2, 3))
        self.head.weight.copy_(40 * means)
        self.head.bias.copy_(-20 * means.square().sum(1))
        return self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.c(self.b(self.a(x).relu() + self.far).relu()).relu()
        return self.head(maps.mean((2, 3)))


def in_int8(file: Path) -> list[str]:
    """Types of the operations whose inputs are rounded to 256 steps."""
    graph = openvino.Core().read_model(file)
    return [
        other.get_node().get_type_name()
        for node in graph.get_ops()
        if node.get_type_name() == "FakeQuantize"
        for other in node.output(0).get_target_inputs()
    ]


@pytest.mark.sweep
def test_harmful_layers_return_to_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    kinds = torch.rand(10, 3, 1, 1) + 0.3 * torch.rand(10, 3, 16, 16)
    photos = kinds[torch.arange(300) % 10] + 0.05 * torch.rand(300, 3, 16, 16)
    net, x = Far(100.0).fit(kinds), photos.numpy()
    write_onnx(export_program(net, torch.zeros(2, 3, 16, 16)), {}, tmp_path / "net.onnx")
    with torch.no_grad():
        right = net(photos).numpy()

    def share(file: Path) -> float:
        session = OpenVINO(file, 100, "int8")
        return agreement(right, session(x)).share

    file = tmp_path / "int8.xml"
    quantize(tmp_path / "net.onnx", file, x[:128], x[128:], routes=False)
    assert share(file) >= 0.99
    controlled = in_int8(file)
    # Without accuracy control they do not agree.
    openvino.save_model(
        without_control(str(tmp_path / "net.onnx"), x[:128], routes=False), file, compress_to_fp16=False
    )
    assert share(file) < 0.5
    assert 0 < controlled.count("Convolution") < in_int8(file).count("Convolution")


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["convnext_tiny", "capsnet"])
def test_what_stays_in_float32(name: str, tmp_path: Path) -> None:
    net = ca.build(name, size=SMALL[name], seed=1).eval()
    shape = (net.channels, *net.size)
    write_onnx(export_program(net, torch.zeros(2, *shape)), {}, tmp_path / "net.onnx")
    graph = without_control(str(tmp_path / "net.onnx"), torch.rand(8, *shape).numpy(), routes=name == "capsnet")
    openvino.save_model(graph, tmp_path / "int8.xml", compress_to_fp16=False)
    kinds = set(in_int8(tmp_path / "int8.xml"))
    assert "Convolution" in kinds
    assert kinds.isdisjoint({"MVN", "Gelu", "SoftMax", "Softmax"})


@pytest.mark.sweep
def test_int8_of_a_pretrained_net(store: Path) -> None:
    net = ca.load("efficientnet_lite0")
    fast = ca.accelerate(net, "openvino", "int8")
    assert fast.record.top1 >= 0.99
    assert fast.record.sure >= 500
    (file,) = store.glob("engines/*/int8-samples.xml")
    assert file.with_suffix(".bin").stat().st_size < 0.4 * (file.parent / "net.onnx").stat().st_size
    x = fast.preprocess(next(crops(1)))[None]
    assert not np.array_equal(fast(x), net(x).detach())
    photos = list(crops(40, seed=7))
    ca.accelerate(net, "openvino", "int8", photos=photos)
    assert len(list(store.glob("engines/*/int8-*.xml"))) == 2
    with pytest.raises(ConvAtlasError, match="0 could be read"):
        ca.accelerate(net, "openvino", "int8", photos=["nowhere.jpg"])
