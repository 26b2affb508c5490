"""What is written, and what is refused before anything is: in one line, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.weights.following import following
from torch import nn

import convatlas as ca
from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.nets.build import skeleton
from convatlas.nets.net import Net


@pytest.mark.parametrize(
    ("name", "follows", "file", "layout"),
    [
        ("efficientnet_lite0", "lite", "net.PTH", None),
        ("efficientnet_lite0", "timm/in1k", "net.Bin", "timm"),
        ("efficientnet_lite0", "timm/in1k", "net.SAFETENSORS", "timm"),
        ("mobilenet_v2", "torchvision/IMAGENET1K_V1", "net.SafeTensors", "torchvision"),
        ("mobilenet", "keras", "net.Weights.H5", None),
        ("yolo_v3_tiny", "darknet", "net.WEIGHTS", None),
        ("lenet5", "", "net.SafeTensors", None),
    ],
)
def test_endings_in_capitals(tmp_path: Path, name: str, follows: str, file: str, layout: str | None) -> None:
    net = following(name, follows)
    path = ca.export(net, tmp_path / file, layout=layout)
    convention = follows if layout else None
    back = ca.load(path) if name == "lenet5" else ca.load(name, weights=path, convention=convention)
    assert back.follows == follows
    state = back.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in net.state_dict().items())


def test_a_keras_archive_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "net.KERAS").write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"^net\.KERAS is damaged: it is no archive"):
        ca.load("mobilenet", weights=tmp_path / "net.KERAS")


@pytest.fixture(scope="module")
def net() -> Net:
    return following("efficientnet_lite0", "lite")


ODD: dict[str, tuple[Callable[[Net, Path], Any], str]] = {
    "a name": (lambda net, at: ca.export("resnet50", at / "a.pth"), "a net from `load` or `build`, not str"),
    "a module": (
        lambda net, at: ca.export(nn.Linear(2, 2), at / "a.pth"),
        r"weights of your own net go to \.safetensors once it is trained here",
    ),
    "nothing": (lambda net, at: ca.export(None, at / "a.pth"), "a net from `load` or `build`, not NoneType"),
    "a class": (lambda net, at: ca.export(Net, at / "a.pth"), "a net from `load` or `build`, not type"),
    "a file by number": (lambda net, at: ca.export(net, 5), "nets are written to a path; got 5"),
    "a layout by number": (lambda net, at: ca.export(net, at / "a.pth", layout=5), "no layout is called 5; known"),
    "layouts": (lambda net, at: ca.export(net, at / "a.pth", layout=["lite"]), r"no layout is called \['lite'\]; did"),
    "an unknown layout": (lambda net, at: ca.export(net, at / "a.pth", layout="kears"), "did you mean keras"),
    "an ending of others": (lambda net, at: ca.export(net, at / "a.txt"), r"got 'a\.txt'"),
    "a long path": (lambda net, at: ca.export(net, at / ("a" * 5000 + ".pth")), "cannot be written: File name too lon"),
    "a deep path": (lambda net, at: ca.export(net, "a/" * 3000 + "a.safetensors"), "cannot be written: File name too"),
    "a folder": (lambda net, at: ca.export(net, at / "folder.pth"), r"folder\.pth' cannot be written: Is a directory"),
    "below a file": (lambda net, at: ca.export(net, at / "file" / "a.pth"), "cannot be written: "),
    "a path of no system": (lambda net, at: ca.export(net, "a\0.safetensors"), "are written to a path; got"),
    "no weights": (lambda net, at: ca.export(skeleton("lenet5"), at / "a.safetensors"), "this lenet5 has no weights"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_arguments(tmp_path: Path, net: Net, case: str) -> None:
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "file").write_text("")
    call, words = ODD[case]
    with pytest.raises(ConvAtlasError, match=words) as error:
        call(net, tmp_path)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 500
    assert {path.name for path in tmp_path.iterdir()} == {"folder.pth", "file"}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e300])
@pytest.mark.parametrize("file", ["a.safetensors", "a.pth", "a.weights.h5"])
def test_what_would_not_load_is_not_written(tmp_path: Path, file: str, value: float) -> None:
    name = "mobilenet" if file.endswith("h5") else "efficientnet_lite0"
    net = following(name, "keras" if file.endswith("h5") else "lite").double()
    with torch.no_grad():
        net.stem.conv.weight[0, 0, 0, 0] = value
    words = rf"^the weights of this {name} hold numbers that are not finite, in stem\.conv\.weight$"
    with pytest.raises(WeightsError, match=words):
        ca.export(net, tmp_path / file)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("vgg16", ["flatten"]),
        ("vgg16", ["flatten", "dense1", "act1"]),
        ("mobilenet", ["flatten"]),
        ("convnext_tiny", ["flatten", "norm"]),
        ("darknet19", []),
        ("mlp_300", []),
    ],
)
def test_embeddings_end_where_they_ended(tmp_path: Path, name: str, keep: list[str]) -> None:
    net = ca.build(name, size=32 if name != "mlp_300" else None).eval()
    net.cut_head(keep)
    back = ca.load(ca.export(net, tmp_path / "a.safetensors"))
    x = torch.randn(2, net.channels, *net.size)
    with torch.no_grad():
        assert torch.equal(back(x), net(x))


@pytest.mark.parametrize(
    ("name", "keep", "where"),
    [
        # From its weights alone an activation, or the rest of the head, would be put behind it again.
        ("lenet1", ["dense"], "head.dense"),
        ("resnet18", [], "head.flatten"),
        ("convnext_tiny", ["flatten", "norm", "dense"], "head.dense"),
    ],
)
def test_other_ends_are_not_written(tmp_path: Path, name: str, keep: list[str], where: str) -> None:
    net = ca.build(name)
    net.cut_head(keep)
    with pytest.raises(
        WeightsError, match=rf"^this {name} was changed by hand at {where}, which a file cannot describe$"
    ):
        ca.export(net, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def stride(net: Net) -> None:
    net.stem.conv.stride = (1, 1)


def activation(net: Net) -> None:
    net.stem.act = nn.GELU()


def last(net: Net) -> None:
    net.head.dense = nn.Linear(1280, 7)


@pytest.mark.parametrize("change", [stride, activation, last], ids=lambda change: change.__name__)
@pytest.mark.parametrize("file", ["a.safetensors", "a.pth"])
def test_what_was_changed_by_hand_is_not_written(tmp_path: Path, change: Callable[[Net], None], file: str) -> None:
    net = following("efficientnet_lite0", "lite")
    change(net)
    with pytest.raises(WeightsError, match=r"changed by hand at (stem\.conv|stem\.act|head\.dense), which a file"):
        ca.export(net, tmp_path / file)
    assert not list(tmp_path.iterdir())


def test_what_only_training_uses_may_be_changed(tmp_path: Path) -> None:
    net = following("efficientnet_lite0", "lite")
    net.stem.norm.momentum = None
    net.head.drop.p = 0.5
    for file in ("a.safetensors", "a.pth"):
        back = ca.load("efficientnet_lite0", weights=ca.export(net.train(), tmp_path / file))
        assert torch.equal(back.head.dense.weight, net.head.dense.weight)


def test_a_negative_variance_is_not_written(tmp_path: Path) -> None:
    net = following("efficientnet_lite0", "lite")
    net.stem.norm.running_var[0] = -1e-9
    with pytest.raises(WeightsError, match=r"hold a negative variance, in stem\.norm\.running_var$"):
        ca.export(net, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_description_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    net = ca.load("efficientnet_lite0")
    net.lineage = net.lineage.__class__(**{**vars(net.lineage), "class_names": ("cat", "dog")})
    with pytest.raises(WeightsError, match=r"^a\.safetensors does not say which net it holds"):
        ca.export(net, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
