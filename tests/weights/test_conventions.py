"""What a file cannot say is asked where nets compute different things, and said where photos are prepared otherwise."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from tests.parity.subjects import double
from torch import nn
from torchvision import models

import convatlas as ca
from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import find_card
from convatlas.catalogue.lineages import all_weights
from convatlas.weights import foreign
from convatlas.weights.registry import conventions

UNSAID: dict[str, tuple[str, Callable[[], nn.Module], str, str]] = {
    "googlenet": (
        "googlenet_bn",
        lambda: models.googlenet(weights=None, init_weights=False, num_classes=3),
        "torchvision/transform_input=False",
        "torchvision",
    ),
    "googlenet of pretrained weights": (
        "googlenet_bn",
        lambda: models.googlenet(weights=None, init_weights=False, num_classes=3, transform_input=True),
        "torchvision",
        "torchvision/transform_input=False",
    ),
    "inception_v3": (
        "inception_v3",
        lambda: models.inception_v3(weights=None, init_weights=False, num_classes=3),
        "torchvision/transform_input=False",
        "torchvision/IMAGENET1K_V1",
    ),
    "timm's efficientnet": (
        "efficientnet_lite1",
        lambda: timm.create_model("efficientnet_lite1", num_classes=3),
        "timm/efficientnet_lite1",
        "timm/in1k",
    ),
    "tensorflow's efficientnet": (
        "efficientnet_lite1",
        lambda: timm.create_model("tf_efficientnet_lite1", num_classes=3),
        "timm/in1k",
        "timm/efficientnet_lite1",
    ),
}
"""Our net, the peer's, the convention that gives its answers, and one that gives others."""


@torch.no_grad()
def distance(net: nn.Module, peer: nn.Module) -> float:
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)).double()
    theirs, ours = peer.double()(x), net.double()(x)
    assert theirs.std() > 0
    return float((ours - theirs).abs().max() / theirs.std())


@pytest.mark.parametrize("case", UNSAID)
def test_what_computes_something_else_is_asked(case: str, tmp_path: Path) -> None:
    name, make, right, wrong = UNSAID[case]
    torch.manual_seed(0)
    with double():
        peer = make().eval()
    peer.float()
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            # So small that the epsilon matters.
            module.running_var.uniform_(1e-3, 1e-2)
    path = tmp_path / "own.pth"
    torch.save(peer.state_dict(), path)
    with pytest.raises(WeightsError, match=r"compute different things: choose one with convention=") as raised:
        ca.load(name, weights=path)
    net = ca.load(name, weights=path, convention=right)
    assert f"{net.follows}" in str(raised.value)
    assert distance(net, peer) <= 1e-9
    assert distance(ca.load(name, weights=path, convention=wrong), peer) > 1e-4
    own = ca.export(net.float(), tmp_path / "own.safetensors")
    again = ca.load(own)
    assert again.follows == net.follows
    assert distance(again, peer) <= 1e-9
    back = ca.export(again.float(), tmp_path / "back.pth", layout=net.follows.partition("/")[0])
    assert distance(ca.load(name, weights=back, convention=right), peer) <= 1e-9


def test_every_such_net_of_timm_is_known() -> None:
    """Timm has some nets with and without the conventions of TensorFlow, and files of both look the same."""
    rows = {row.model.partition(".")[0]: row.net for row in all_weights() if row.origin == "timm"}
    plain = {net: name.removeprefix("tf_") for name, net in rows.items() if name.startswith("tf_")}
    for net, their in plain.items():
        names = [each.name for each in conventions(find_card(net))]
        unpublished = timm.models.is_model(their) and their not in rows
        assert (f"timm/{net}" in names) == unpublished, net


def test_a_published_file_needs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "anything.pth"
    torch.save(models.googlenet(weights=None, init_weights=False).state_dict(), path)
    known = conventions(find_card("googlenet_bn"))
    (row,) = (each.row for each in known if each.name == "torchvision/IMAGENET1K_V1")
    row = replace(row, hash=hashlib.sha256(path.read_bytes()).hexdigest()[:8])
    monkeypatch.setattr(foreign, "conventions", lambda card: [replace(each, row=row) for each in known])
    net = ca.load("googlenet_bn", weights=path)
    assert net.follows == "torchvision/IMAGENET1K_V1"
    assert net.lineage.name == "torchvision/IMAGENET1K_V1"
    assert net.lineage.top1 == row.top1
    assert not capsys.readouterr().err


def test_how_photos_are_prepared_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.pth"
    torch.save(timm.create_model("mobilenetv2_100").state_dict(), path)
    ca.load("mobilenet_v2", weights=path)
    said = capsys.readouterr().err
    assert said.startswith("convatlas: own.pth: photos are prepared as for timm/ra_in1k, because the file does not say")
    assert said.count("\n") == 1
    torch.save(models.resnet50(num_classes=3).state_dict(), path)
    ca.load("resnet50", weights=path)
    said = capsys.readouterr().err
    assert "as for torchvision/IMAGENET1K_V1, because the file does not say how; convention= chooses another" in said
    assert "torchvision/IMAGENET1K_V2" in said
    ca.load("resnet50", weights=path, convention="torchvision/IMAGENET1K_V2")
    assert not capsys.readouterr().err
