"""The small ResNets for studies: counts as published, shortcuts without weights, and plain nets of the same weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import convatlas as ca
from convatlas.catalogue.cards import cards, families, study_cards, study_families
from convatlas.genes.structural import Add
from convatlas.nets.build import build, skeleton

# Trainable parameters, which the paper prints as 0.27M and 0.85M (He et al. 2015, table 6).
PUBLISHED = {"resnet20": 269_722, "resnet56": 853_018}


@pytest.mark.parametrize(("name", "trainable"), PUBLISHED.items())
def test_counts_are_the_paper_s(name, trainable):
    anatomy = ca.measure(name)
    assert anatomy.trainable == trainable
    assert all(cell.explained for cell in ca.check(name).cells)
    plain = ca.measure(name, genes={"skip": "plain"})
    assert (plain.trainable, plain.macs, plain.depth) == (trainable, anatomy.macs, anatomy.depth)


def test_a_shortcut_skips_pixels_and_appends_zeros():
    block = build("resnet8").conv3.block1
    x = torch.randn(2, 16, 6, 6)
    expected = F.relu(block.branch.eval()(x) + torch.cat([x[:, :, ::2, ::2], torch.zeros(2, 16, 3, 3)], 1))
    assert torch.equal(block(x), expected)


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_a_plain_net_is_a_chain(name):
    residual, plain = build(name, seed=3), build(name, seed=3, genes={"skip": "plain"})
    assert not any(isinstance(module, Add) for module in plain.modules())
    assert any(isinstance(module, Add) for module in residual.modules())
    shared = {key for key in residual.state_dict() if "shortcut" not in key}
    assert set(plain.state_dict()) == shared
    # With branches of zeros the plain block is dead, the residual one is its shortcut.
    for net in (residual, plain):
        net.eval()
        torch.nn.init.zeros_(net.conv2.block1.branch.conv2.norm.weight)
    x = torch.rand(1, residual.conv2.block1.branch.conv1.conv.in_channels, 8, 8)
    assert not plain.conv2.block1(x).any()
    assert torch.equal(residual.conv2.block1(x), x)


def test_a_plain_net_drops_no_branches():
    kinds = {type(module).__name__ for module in skeleton("efficientnet_b0", genes={"skip": "plain"}).modules()}
    assert "StochasticDepth" not in kinds
    assert "StochasticDepth" in {type(module).__name__ for module in skeleton("efficientnet_b0").modules()}
    with pytest.raises(ca.ConvAtlasError, match="alexnet has no skip to swap"):
        skeleton("alexnet", genes={"skip": "plain"})


def test_study_nets_are_apart():
    assert study_families() == ["cifar_resnet"]
    names = set(study_cards())
    assert names == {f"resnet{depth}{width}" for depth in (8, 20, 56) for width in ("", "_w8")}
    assert not names & set(cards())
    assert "cifar_resnet" not in families()
    assert {card.name for card in ca.list_nets(family="cifar_resnet")} == names
    assert not names & {card.name for card in ca.list_nets()}
    assert build("ResNet-8").card is ca.list_nets(family="cifar_resnet")[0]


@pytest.mark.parametrize("name", ["resnet8", "resnet8_w8"])
def test_a_study_net_is_a_net(name):
    net = build(name, classes=7, seed=1).eval()
    x = torch.randn(2, net.channels, *net.size)
    assert net(x).shape == (2, 7)
    assert list(net.outputs(x)) == ["stem", "conv2", "conv3", "conv4", "head"]
    assert ca.show(name).anatomy.parameters == ca.measure(name).parameters
    assert name in ca.measure(name).draw().svg()
    again = build(name, genes={"skip": "residual"}, classes=7, seed=1).eval()
    assert torch.equal(net(x), again(x))
