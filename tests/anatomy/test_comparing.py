"""What differs between two nets: in words, where it is, and to the last parameter."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import timm
import torch
from tests.nets.nets import SMALL
from torch import nn

import convatlas as ca
from convatlas.anatomy.anatomies import Anatomy
from convatlas.anatomy.comparing import ALIKE, Comparison


def timms(name: str) -> Anatomy:
    with torch.device("meta"):
        return ca.measure(timm.create_model(name), size=224)


def differences(found: Comparison) -> dict[str, tuple[int, int]]:
    return {one.what: (one.times, one.parameters) for one in found.differences}


def test_the_gate_alone() -> None:
    """timm's two nets differ in nothing else."""
    found = ca.compare(timms("resnet50"), timms("seresnet50"))
    assert differences(found) == {
        "squeeze-and-excitation after each block's last normalization": (16, 28088024 - 25557032)
    }
    assert found.differences[0].places == tuple(
        f"layer{stage}.{block}" for stage, count in enumerate((3, 4, 6, 3), 1) for block in range(count)
    )
    assert found.differences[0].parameters == 2_530_992


def test_our_gate() -> None:
    """ResNet-50 as Keras has it, with biases, against SE-ResNet-50 without."""
    found = differences(ca.compare("resnet50", "se_resnet50"))
    assert found["squeeze-and-excitation after each block's last normalization"] == (16, 2_530_992)
    assert found["3×3 convolution: without a bias"][0] == 13


def test_groups() -> None:
    found = ca.compare(timms("resnet50"), "torchvision.models:resnext50_32x4d")
    told = differences(found)
    assert told["3×3 convolution: grouped (32 groups), twice as wide"][0] == 16
    assert told["1×1 convolution: twice as wide"][0] == 16
    assert found.shared > 0.99


def test_more_of_the_same() -> None:
    found = ca.compare("resnet50", "resnet101")
    (only,) = found.differences
    assert only.what == "one more: identity block (. & c1 bn relu c3 bn relu c1 bn)+ relu"
    assert (only.times, only.parameters) == (17, found.totals[4].difference)
    assert only.places[0] == "conv4.block7"
    assert differences(ca.compare("vgg16", "vgg19")) == {"c3 relu after ReLU": (3, 143667240 - 138357544)}


def test_from_one_kind_of_net_to_another() -> None:
    found = ca.compare("vgg16", "resnet50")
    genes = {gene.what: (gene.first, gene.second) for gene in found.genes}
    assert genes["batch normalization"] == (0, 53)
    assert genes["sum"] == (0, 16)
    assert genes["3×3 convolution"] == (13, 16)
    assert genes["dense"] == (3, 1)
    assert found.shared < 0.5
    told = differences(ca.compare("lenet5", "alexnet"))
    assert told["scaled tanh → ReLU"][0] == 5
    assert any("grouped (2 groups)" in what for what in told)
    assert any("max pooling" in what for what in told)


def test_a_swapped_gene() -> None:
    swapped = ca.measure("mobilenet_v2", genes={"activation": "silu"}, size=64)
    told = differences(ca.compare(ca.measure("mobilenet_v2", size=64), swapped))
    assert told == {"ReLU6 → SiLU": (35, 0)}


@pytest.mark.parametrize("pair", list(pairwise([*SMALL, "alexnet"])), ids="-".join)
def test_the_parameters_of_all_differences_are_those_of_the_totals(pair: tuple[str, str]) -> None:
    one, other = (ca.measure(name) for name in pair)
    found = ca.compare(one, other)
    more = sum(layer.parameters for layer in other.layers) - sum(layer.parameters for layer in one.layers)
    assert sum(one.parameters for one in found.differences) == more
    assert sum(gene.parameters for gene in found.genes) == more or _others(one) or _others(other)
    assert 0 <= found.shared <= 1
    # Whatever is said is said once, and nothing is said of nothing.
    whats = [one.what for one in found.differences]
    assert len(set(whats)) == len(whats)
    assert all(one.times for one in found.differences)


def _others(net: Anatomy) -> bool:
    """Whether a layer of no gene that is counted has weights."""
    return any(layer.parameters and layer.locus in ("other", "feedback", "output", "routing") for layer in net.layers)


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "nasnet_mobile", "lenet5", "yolo_v3_tiny"])
def test_a_net_differs_from_itself_in_nothing(name: str) -> None:
    found = ca.compare(name, name)
    assert found.differences == ()
    assert found.genes == ()
    assert found.shared == 1
    assert found.first != found.second


def test_a_foreign_net_and_one_of_ours() -> None:
    """What differs is the order of stride, and the biases, as the anatomies have it."""
    found = differences(ca.compare("torchvision.models:resnet50", "resnet50"))
    assert found["1×1 convolution: stride 1 → 2, with a bias"][0] == 3
    assert found["3×3 convolution: stride 2 → 1, with a bias"][0] == 3
    assert ALIKE not in found


def test_it_prints_and_goes_to_json() -> None:
    found = ca.compare("vgg16", "vgg19")
    assert json.loads(found.to_json())["differences"][0]["parameters"] == 5309696
    assert str(found) == "c3 relu after ReLU: 3 × in block3.conv4 – block5.conv4, +5,309,696 parameters"
    assert [len(table.rows) for table in found.tables()] == [9, 2, 1]
    assert "+3.8%" in found.tables()[0].markdown()


def test_nets_of_no_layers_in_common() -> None:
    found = ca.compare(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Linear(3, 4)))
    assert found.shared == 0
    assert {one.what for one in found.differences} == {"no: 3×3 convolution", "one more: dense"}
