"""Export: every format against PyTorch's own outputs, the metadata, and that nothing half-written is left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from tests.engines.nets import digits, onnx_bytes
from tests.nets.nets import SMALL
from torch import nn

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, UnknownName, WeightsError
from convatlas.catalogue.cards import cards
from convatlas.engines.export import export as exporting
from convatlas.engines.export.graph import export_program
from convatlas.engines.export.metadata import Description, metadata_of
from convatlas.engines.parity.float64 import float64_copy
from convatlas.engines.parity.reference import Reference
from convatlas.genes.local import LocallyConnected
from convatlas.nets.net import Net

QUICK = (
    "alexnet",
    "resnet18",
    "mobilenet",
    "mlp_300",
    "elman",
    "lenet1",
    "lenet5",
    "boosted_lenet4",
    "yolo_v1_tiny",
    "yolo_v3_tiny",
    "capsnet",
    "neocognitron",
    "cognitron",
)
"""Nets with small graphs; those of the other families take long to export, and are in the sweep."""


def photos(net: Net, count: int) -> torch.Tensor:
    return torch.rand(count, net.channels, *net.size, generator=torch.Generator().manual_seed(count))


def check_onnx(net: Net, data: bytes) -> None:
    """Compare with eager mode at several batch sizes, within ten times its own distance from float64 for one photo."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = photos(net, 3)
    with torch.no_grad():
        single, double = net(x).numpy(), float64_copy(net)(x[:1].double()).numpy()
    bound = 10 * max(np.abs(single[:1] - double).max(), np.finfo("f4").eps * np.abs(double).max())
    for count in (1, 2, 3):
        y = session.run(None, {"photos": x[:count].numpy()})[0]
        assert y.shape == (count, *single.shape[1:])
        assert np.abs(y - single[:count]).max() <= bound, count
    (entry,) = session.get_inputs()
    assert isinstance(entry.shape[0], str)
    assert entry.shape[1:] == list(x.shape[1:])


@pytest.mark.parametrize("name", QUICK)
def test_onnx_of_the_smallest(name: str) -> None:
    net = ca.build(name, size=SMALL[name], classes=7, seed=1).eval()
    check_onnx(net, onnx_bytes(export_program(net, torch.zeros(2, net.channels, *net.size)), metadata_of(net, (1,))))


def test_onnx_of_a_locally_connected_layer() -> None:
    layer, x = LocallyConnected(8, 4, 3, (7, 5)), torch.rand(3, 8, 7, 5)
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    session = onnxruntime.InferenceSession(onnx_bytes(export_program(layer, torch.zeros(2, 8, 7, 5)), {}))
    for count in (1, 3):
        y = torch.from_numpy(session.run(None, {"photos": x[:count].numpy()})[0])
        torch.testing.assert_close(y, layer(x[:count]).detach(), atol=1e-4, rtol=1e-4)


LARGE = ("vgg16", "vgg19", "yolo_v1", "efficientnetv2_l", "convnext_large", "convnext_xlarge")
"""Nets above 100 million parameters, which never run beside each other."""


@pytest.mark.sweep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group("large" if name in LARGE else name)) for name in cards()]
)
def test_onnx_of_all(name: str) -> None:
    net = ca.build(name, seed=1).eval()
    check_onnx(net, onnx_bytes(export_program(net, torch.zeros(2, net.channels, *net.size)), metadata_of(net, (1,))))


@pytest.mark.sweep
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("ending", [".pt2", ".xml"])
def test_the_other_graphs_of_the_smallest(name: str, ending: str, tmp_path: Path) -> None:
    net = ca.build(name, size=SMALL[name], seed=1)
    assert ca.export(net, tmp_path / f"net{ending}").is_file()


@pytest.fixture(scope="module", name="net")
def small() -> Net:
    return digits()


@pytest.fixture(scope="module")
def folder(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a net that has a lineage, in every graph format."""
    folder = tmp_path_factory.mktemp("exported")
    for ending in exporting.GRAPHS:
        ca.export(net, folder / f"net{ending}")
    return folder


def test_nothing_but_the_files_is_left(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["net.bin", "net.onnx", "net.pt2", "net.xml"]


def test_every_format_has_the_net_s_outputs(folder: Path, net: Net) -> None:
    from convatlas.images.samples import sample

    x = net.preprocess(sample("coffee"))[None]
    right = net(x).detach().numpy()
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    compiled = openvino.compile_model(folder / "net.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = {
        "onnx": session.run(None, {"photos": x.numpy()})[0],
        "xml": compiled(x.numpy())[0],
        "pt2": torch.export.load(folder / "net.pt2").module()(x).detach().numpy(),
    }
    bound = Reference(net, x).bound * float(np.std(right))
    for ending, y in outputs.items():
        assert np.abs(y - right).max() <= bound, ending


def test_every_format_has_the_metadata(folder: Path, net: Net) -> None:
    model = onnx.load(folder / "net.onnx")
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [20]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["opset"] == "20"
    info = openvino.Core().read_model(folder / "net.xml").get_rt_info()["convatlas"]
    files = {"convatlas.json": ""}
    torch.export.load(folder / "net.pt2", extra_files=files)
    for texts in (
        metadata,
        {key: str(value.astype(str)) for key, value in info.items()},
        json.loads(files["convatlas.json"]),
    ):
        assert json.loads(texts["labels"]) == list(net.lineage.class_names)
        assert json.loads(texts["card"])["paper"]["title"] == net.card.paper.title
        description = Description.from_metadata(texts, "net")
        assert (description.net, description.shape, description.probabilities) == ("lenet5", (1, 32, 32), "softmax")
        assert description.lineage == net.lineage


def test_endings_in_upper_case(tmp_path: Path, net: Net, capfd: pytest.CaptureFixture[str]) -> None:
    for ending in exporting.GRAPHS:
        file = tmp_path / f"net{ending.upper()}"
        assert ca.export(net, file) == file
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.ONNX", "net.PT2", "net.XML", "net.bin"]
    assert openvino.Core().read_model(tmp_path / "net.XML").input().get_names() == {"photos"}
    assert ca.measure(str(tmp_path / "net.PT2")).parameters == ca.measure("lenet5").parameters
    assert capfd.readouterr().err == ""


def test_a_pt2_is_a_net_of_the_user(folder: Path) -> None:
    name = str(folder / "net.pt2")
    assert ca.measure(name).parameters == ca.measure("lenet5").parameters


@pytest.mark.parametrize(
    ("name", "file", "layout"),
    [
        ("lenet5", "a.safetensors", None),
        ("efficientnet_lite0", "a.pth", "lite"),
        ("resnet18", "a.pth", "torchvision"),
        ("resnet18", "a.safetensors", "timm"),
        ("mobilenet", "a.weights.h5", None),
        ("yolo_v3_tiny", "a.weights", None),
    ],
)
def test_weights_are_read_back(name: str, file: str, layout: str | None, tmp_path: Path, monkeypatch) -> None:
    net = ca.load(name) if name == "efficientnet_lite0" else ca.build(name)
    if layout in ("torchvision", "timm"):
        net.follows = {"torchvision": "torchvision/IMAGENET1K_V1", "timm": "timm/a1_in1k"}[layout]
    assert ca.export(net, tmp_path / file, layout=layout) == tmp_path / file
    assert [path.name for path in tmp_path.iterdir()] == [file]
    write = exporting.export_weights

    def spoilt(net: Net, place: Path, *, layout: str | None) -> None:
        last = next(parameter for parameter in net.parameters() if parameter.dim() > 1)
        with torch.no_grad():
            last.view(-1)[0] += 1
            write(net, place, layout=layout)
            last.view(-1)[0] -= 1

    monkeypatch.setattr(exporting, "export_weights", spoilt)
    before = (tmp_path / file).read_bytes()
    with pytest.raises(WeightsError, match=f"^{file} was not written: when read back, .* differs"):
        ca.export(net, tmp_path / file, layout=layout)
    assert (tmp_path / file).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize("ending", [".onnx", ".xml", ".pt2"])
def test_a_file_that_computes_something_else_is_not_kept(ending: str, tmp_path: Path, monkeypatch) -> None:
    net = ca.build("lenet1").eval()
    program = exporting.export_program

    def spoilt(net: nn.Module, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
        exported = program(net, shape)
        with torch.no_grad():
            next(iter(exported.state_dict.values())).mul_(1.001)
        return exported

    def apart(net: nn.Module, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
        import copy

        return spoilt(copy.deepcopy(net), shape)

    monkeypatch.setattr(exporting, "export_program", apart)
    words = "its outputs differ from the net's by .* standard deviations; .* is allowed"
    with pytest.raises(ConvAtlasError, match=rf"^net{ending} was not written: {words}$"):
        ca.export(net, tmp_path / f"net{ending}")
    assert list(tmp_path.iterdir()) == []


class Own(nn.Module):
    """A net of the user with sums over windows, which ONNX does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(self.conv(x), 2, divisor_override=1).mean((2, 3))


def own() -> nn.Module:
    torch.manual_seed(0)
    return Own()


class Fft(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(self.conv(x)).mean((2, 3))


class Two(Own):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.conv(x), x


class Undecided(Own):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) if x.sum() > 0 else x


def test_a_net_of_the_user(tmp_path: Path) -> None:
    net = own().train()
    file = ca.export(net, tmp_path / "own.onnx", size=(20, 30))
    assert net.training
    x = torch.rand(3, 3, 20, 30)
    y = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"photos": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(y), net.eval()(x).detach())
    half = own().half()
    ca.export(half, tmp_path / "half.onnx", size=20)
    assert next(half.parameters()).dtype == torch.float16


def test_what_pytorch_prints_of_a_graph_is_hidden(tmp_path, capfd, caplog):
    class Deciding(nn.Module):
        def forward(self, x):
            y = x.mean((2, 3))
            return y if y.sum() > 0 else -y

    with pytest.raises(ConvAtlasError, match="Deciding cannot be exported: GuardOnDataDependentSymNode"):
        ca.export(Deciding(), tmp_path / "a.onnx", size=8)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("net", "file", "message"),
    [
        (Fft, "a.onnx", "bessel_j0"),
        (Two, "a.onnx", "one tensor"),
        (Undecided, "a.pt2", "cannot be exported"),
        (Own, "a.safetensors", "its graph goes to .onnx, .xml, .pt2"),
        (lambda: ca.build("lenet1"), "a.txt", r"\.onnx, \.xml, \.pt2"),
        (lambda: ca.build("lenet1"), "a", r"\.onnx, \.xml, \.pt2"),
        (lambda: "lenet1", "a.onnx", "not str"),
        (lambda: None, "a.onnx", "not NoneType"),
    ],
)
def test_what_cannot_be_exported(net, file: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConvAtlasError, match=message) as error:
        ca.export(net(), tmp_path / file)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(tmp_path: Path) -> None:
    net = ca.build("lenet1")
    with pytest.raises(ConvAtlasError, match="layout= is for files of weights"):
        ca.export(net, tmp_path / "a.onnx", layout="native")
    with pytest.raises(UnknownName, match="native"):
        ca.export(net, tmp_path / "a.safetensors", layout="mine")
    with pytest.raises(ConvAtlasError, match="1 to 8192"):
        ca.export(net, tmp_path / "a.onnx", size=0)
    with pytest.raises(ConvAtlasError, match="cannot be written"):
        ca.export(net, Path("/proc/nowhere/a.onnx"))


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime", "openvino"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch) -> None:
    from convatlas.base import extras
    from convatlas.engines.backends import openvino

    monkeypatch.setattr(extras, "installed", lambda name: name != package)
    openvino.core.cache_clear()
    with pytest.raises(ConvAtlasError, match=rf"^{package} is not installed: pip install 'convatlas\[engines\]'$"):
        ca.export(ca.build("lenet1"), tmp_path / ("a.xml" if package == "openvino" else "a.onnx"))
    assert list(tmp_path.iterdir()) == []


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from convatlas.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *words], cwd=cwd, capture_output=True, text=True)


def test_the_command(tmp_path: Path) -> None:
    done = command("export", "lenet1", "lenet1.onnx", "--weights", "none", cwd=tmp_path)
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "lenet1.onnx\n")
    assert onnx.load(tmp_path / "lenet1.onnx").graph.node
    wrong = command("export", "lenet1", "lenet1.onnx", "--layout", "native", "--weights", "none", cwd=tmp_path)
    assert wrong.returncode == 1
    assert re.fullmatch(r"convatlas: --layout is for .*\n", wrong.stderr)
