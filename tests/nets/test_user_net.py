"""Nets from .pt2 files: what they were before they were exported, and files that are not opened."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import convatlas as ca
from convatlas.anatomy.structure.dna import dna
from convatlas.base.errors import ConvAtlasError, SizeError
from convatlas.nets.user_net import is_user_net, load_user_net


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.LeakyReLU(0.1, inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.act(self.norm(self.conv(x)))


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 2),
        nn.ReLU6(),
        Block(),
        Block(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    dynamic = ({0: torch.export.Dim("n")},)
    for name, batch, shapes in (("one", 1, None), ("two", 2, None), ("any", 2, dynamic)):
        program = torch.export.export(net(), (torch.zeros(batch, 3, 32, 40),), dynamic_shapes=shapes)
        torch.export.save(program, folder / f"{name}.pt2")
    return folder


@pytest.mark.parametrize("name", ["one", "any"])
def test_a_net_from_a_file_is_the_net(files: Path, name: str) -> None:
    found, original = ca.measure(str(files / f"{name}.pt2")), ca.measure(net(), size=(32, 40))
    assert found.name == name
    assert found.input == (3, 32, 40)
    assert (found.parameters, found.trainable, found.macs) == (original.parameters, original.trainable, original.macs)
    assert (found.depth, found.path, found.output) == (original.depth, original.path, original.output)
    assert [layer.kind for layer in found.layers] == [layer.kind for layer in original.layers]
    assert dna(found).stages == dna(original).stages
    assert ca.compare(found, original).differences == ()
    assert "3×3 conv" in found.draw().svg()


def test_weights_come_with_it(files: Path) -> None:
    loaded = load_user_net(str(files / "any.pt2"))
    assert sum(weight.numel() for weight in loaded.parameters()) == sum(weight.numel() for weight in net().parameters())
    assert loaded(torch.zeros(3, 3, 32, 40)).shape == (3, 4)


def test_sizes_that_a_file_was_not_exported_for(files: Path) -> None:
    with pytest.raises(ConvAtlasError, match="for batches of 2 photos"):
        ca.measure(str(files / "two.pt2"))
    with pytest.raises(SizeError, match="to be equal to 32"):
        ca.measure(str(files / "one.pt2"), size=64)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "text.pt2").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w") as archive:
        archive.writestr("x/y", "z")
    for name in ("text.pt2", "empty.pt2", "absent.pt2"):
        with pytest.raises(ConvAtlasError, match="could not be read") as caught:
            ca.measure(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_names_of_ones_own() -> None:
    assert is_user_net("package.module:callable")
    assert is_user_net("net.pt2")
    assert not is_user_net("resnet50")
