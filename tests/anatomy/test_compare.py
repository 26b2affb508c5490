"""What differs between two nets: in words, where it is, and to the last parameter."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import timm
import torch
from tests.anatomy.once import measured
from tests.nets.nets import SMALL
from torch import nn

import convatlas as ca
from convatlas.anatomy.anatomy import Anatomy
from convatlas.anatomy.report.align import Token
from convatlas.anatomy.report.compare import ALIKE, Comparison
from convatlas.anatomy.report.phrases import run_text
from convatlas.anatomy.structure.tokens import Word


def timms(name: str) -> Anatomy:
    with torch.device("meta"):
        return ca.measure(timm.create_model(name), size=224)


def differences(found: Comparison) -> dict[str, tuple[int, int]]:
    return {one.change: (one.times, one.parameters) for one in found.differences}


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
    assert only.change == "one more: identity block (. & c1 bn relu c3 bn relu c1 bn)+ relu"
    assert (only.times, only.parameters) == (17, found.totals[4].difference)
    assert only.places[0] == "conv4.block7"
    assert differences(ca.compare("vgg16", "vgg19")) == {"c3 relu after ReLU": (3, 143667240 - 138357544)}


def test_from_one_kind_of_net_to_another() -> None:
    found = ca.compare("vgg16", "resnet50")
    genes = {gene.kind: (gene.first, gene.second) for gene in found.genes}
    assert genes["batch normalization"] == (0, 53)
    assert genes["sum"] == (0, 16)
    assert genes["3×3 convolution"] == (13, 16)
    assert genes["dense"] == (3, 1)
    assert found.shared < 0.5
    # Plain layers are not taken for blocks: five of VGG's groups against sixteen blocks.
    told = differences(found)
    assert sum(times for what, (times, _) in told.items() if what.startswith("one more: ") and "block (" in what) == 16
    assert told["no: c3 relu c3 relu c3 relu max2/2"][0] == 3
    told = differences(ca.compare("mobilenet", "mobilenet_v2"))
    assert told["one more: identity block (. & c1 bn relu6 dw3 bn relu6 c1 bn)+"][0] == 10
    told = differences(ca.compare("lenet5", "alexnet"))
    assert told["scaled tanh → ReLU"][0] == 5
    assert "5×5 convolution → 3×3 convolution: grouped (2 groups), 2.13 times as wide" in told
    assert any("grouped (2 groups)" in what for what in told)
    assert any("max pooling" in what for what in told)


def test_a_swapped_gene() -> None:
    swapped = ca.measure("mobilenet_v2", genes={"activation": "silu"}, size=64)
    told = differences(ca.compare(ca.measure("mobilenet_v2", size=64), swapped))
    assert told == {"ReLU6 → SiLU": (35, 0)}


@pytest.mark.parametrize("pair", list(pairwise([*SMALL, "alexnet"])), ids="-".join)
def test_the_parameters_of_all_differences_are_those_of_the_totals(pair: tuple[str, str]) -> None:
    one, other = (measured(name) for name in pair)
    found = ca.compare(one, other)
    assert sum(one.parameters for one in found.differences) == other.parameters - one.parameters
    layers = [sum(layer.parameters for layer in net.layers) for net in (one, other)]
    assert sum(gene.parameters for gene in found.genes) == layers[1] - layers[0]
    assert 0 <= found.shared <= 1
    # Whatever is said is said once, and nothing is said of nothing.
    whats = [one.change for one in found.differences]
    assert len(set(whats)) == len(whats)
    assert all(one.times for one in found.differences)
    # No half of a fork is told by a bracket alone.
    assert all(
        what.count("(") == what.count(")") and what.count("{") == what.count("}") for what in whats if "…" not in what
    )


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "nasnet_mobile", "lenet5", "yolo_v3_tiny"])
def test_a_net_differs_from_itself_in_nothing(name: str) -> None:
    found = ca.compare(measured(name), measured(name))
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


def test_half_a_fork_is_told_in_words() -> None:
    """A way more beside others; a sum around what stood alone."""
    told = list(differences(ca.compare("resnet50", "inception_v3")))
    assert any("; another branch; " in what and "the concatenation of the branches" in what for what in told)
    layers = measured("resnet18").layers
    total = next(layer for layer in layers if layer.kind == "sum")
    begins, ends = Token("(1"), Token(")1", Word("+"), (total,), "skip")
    unit = Token("c1", Word("c", "1"), layers[:1], "convolution")
    words = run_text([begins, Token("."), Token("&1"), unit, unit])
    assert words == "branches part; the map itself; another branch; c1 c1"
    assert run_text([unit, ends, unit]) == "c1; the sum of the branches; c1"
    assert run_text([begins, Token("."), Token("&1"), unit, ends, unit]) == "(. & c1)+ c1"


def test_feedback() -> None:
    (only,) = ca.compare("elman", "jordan").differences
    assert only.change == "recurrence: no arrow hidden1 → hidden1, an arrow output → hidden1"
    swapped = ca.measure("elman", genes={"activation": "relu", "output": "dense"})
    (only,) = ca.compare("elman", swapped).differences
    assert only.change == "recurrence: scaled tanh → ReLU, identity"
    more = ca.compare("elman", "feedback_chain").differences[0]
    assert more.change.startswith("recurrence: layers 784-300-10 → 784-300-100-10, no arrow")


def test_what_the_answer_does_not_need() -> None:
    """A decoder and auxiliary heads: parameters of the totals that no layer has."""
    told = differences(ca.compare("capsnet", "matrix_capsnet"))
    assert told["no: reconstruction, not used by the output"] == (1, -1_411_344)
    helped = ca.measure("inception_v1", genes={"auxiliary": "heads"})
    assert helped.unused == (("aux1", 3_188_840), ("aux2", 3_190_888))
    assert len(ca.compare("inception_v1", helped).differences) == 2
    assert ca.compare(helped, helped).differences == ()
    other = ca.measure("inception_v1", genes={"auxiliary": "heads"}, classes=10)
    assert "other weights: aux1, not used by the output" in differences(ca.compare(helped, other))


class ClassToken(nn.Module):
    """A vector of its own, joined to the only tensor that was traced."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.token = nn.Parameter(torch.zeros(1, 6, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), self.conv(x).flatten(2)], 2)


def test_a_token_of_weights_is_not_passed_over() -> None:
    net = ca.measure(ClassToken(), size=8)
    found = ca.compare("lenet1", net)
    assert sum(one.parameters for one in found.differences) == net.parameters - 2578


def test_nets_of_no_layers_in_common() -> None:
    found = ca.compare(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.Linear(3, 4)))
    assert found.shared == 0
    assert {one.change for one in found.differences} == {"no: 3×3 convolution", "one more: dense"}
