"""A net's DNA: what it says, that equal nets have equal ones, and other nets others."""

from __future__ import annotations

import json

import pytest
import timm
import torch
import torchvision
from tests.anatomy.once import measured
from tests.nets.nets import SMALL
from torch import nn

import convatlas as ca
from convatlas.anatomy.measure.hyperparameters import loop_of
from convatlas.anatomy.structure.dna import dna
from convatlas.anatomy.structure.repeats import Run, runs
from convatlas.anatomy.structure.tokens import Words
from convatlas.catalogue.cards import cards
from convatlas.genes.loci import LOCI

VGG16 = [
    "224x224x3",
    "block1: [c3-64b relu]x2 max2/2",
    "block2: [c3-128b relu]x2 max2/2",
    "block3: [c3-256b relu]x3 max2/2",
    "block4-block5: [[c3-512b relu]x3 max2/2]x2",
    "head: flat [dense-4096b relu drop:0.5]x2 dense-1000b",
]
RESNET50 = (
    "conv2: (c1-256b bn + c1-64b bn relu c3-64b bn relu c1-256b bn) relu "
    "[(. + c1-64b bn relu c3-64b bn relu c1-256b bn) relu]x2"
)


def genes(net: str | nn.Module, **options: object) -> str:
    anatomy = ca.measure(net, **options) if options or not isinstance(net, str) else measured(net)
    return dna(anatomy).genes


def test_two_nets_word_by_word() -> None:
    assert dna(measured("vgg16")).lines() == VGG16
    assert str(dna(measured("vgg16"))) == " | ".join(VGG16)
    assert dna(measured("resnet50")).lines()[2] == RESNET50


def test_blocks_cells_and_gates() -> None:
    lines = dict(dna(measured("efficientnet_b0")).stages)
    assert lines["stage1"] == "dw3 bn silu (. * gap c1-8b silu c1-32b logistic) c1-16 bn"
    assert dna(measured("efficientnet_b0")).rates == ("stochastic depth to 0.175",)
    lines = dict(dna(measured("densenet121")).stages)
    assert lines["dense3"] == "[(. , bn relu c1-128 bn relu c3-32)]x24"
    cell = dict(dna(measured("nasnet_mobile")).stages)["stage1_cell2-stage1_cell4"]
    assert cell == (
        "[{a=<-2> relu c1-44 bn; b=<-1> relu c1-44 bn; c=b [relu dw5 c1-44 bn]x2; d=a [relu dw3 c1-44 bn]x2; e=c+d; "
        "f=a ([relu dw3 c1-44 bn]x2 + [relu dw5 c1-44 bn]x2); g=b avg3; h=g+a; i=a (avg3 + avg3); "
        "j=b (. + [relu dw3 c1-44 bn]x2); a,e,f,h,i,j}]x3"
    )


def test_a_repeat_ends_with_what_ends_a_unit() -> None:
    line = dict(dna(measured("shufflenet_v2_x0_5")).stages)["stage3"]
    unit = "(channel-slice c1-48 bn relu dw3 bn c1-48 bn relu , channel-slice) channel-shuffle"
    assert line.endswith(f" channel-shuffle [{unit}]x7")


def test_a_recurrence_says_what_it_applies() -> None:
    assert dna(measured("elman")).lines()[1].endswith("recurrence:784-300-10,scaled_tanh,hidden1->hidden1,4steps")
    assert "784-300-10,ReLU/identity," in genes("elman", genes={"activation": "relu", "output": "dense"})
    words = "784-300-10 scaled_tanh hidden1->hidden1 output->hidden1 4steps"
    loop = loop_of(words)
    assert (loop.widths, loop.steps) == ((784, 300, 10), 4)
    assert loop.functions == ("scaled tanh", "scaled tanh")
    assert loop.feedback == ["hidden1 → hidden1", "output → hidden1"]
    assert loop.names == ["input", "hidden1", "output"]


def test_capsules_are_as_wide_as_the_layer_has_parents() -> None:
    assert "capsule-votes-10(1474560)" in genes("capsnet")
    assert "capsule-votes3/2-32(147456)" in genes("matrix_capsnet")


def all_genes(names: list[str]) -> dict[str, str]:
    return {name: genes(name) for name in names}


def test_nets_of_one_family_differ() -> None:
    found = all_genes(list(SMALL))
    assert len(set(found.values())) == len(found)


@pytest.mark.sweep
def test_all_nets_differ() -> None:
    found = all_genes(list(cards()))
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    "locus", [locus for locus in LOCI if locus in ("activation", "pooling", "padding", "attention")]
)
def test_a_swapped_gene_shows(locus: str) -> None:
    published = ca.measure("resnet18", size=64)
    found = {genes("resnet18", size=64)}
    for gene in LOCI[locus]:
        swapped = ca.measure("resnet18", genes={locus: gene}, size=64)
        same = [(one.kind, one.setting, one.kernel, one.padding) for one in swapped.layers] == [
            (one.kind, one.setting, one.kernel, one.padding) for one in published.layers
        ]
        text = dna(swapped).genes
        assert (text in found) == same or gene == "overlapping"
        found.add(text)


TWINS = {
    "resnet18": "resnet18", "resnet50": "", "resnet101": "", "densenet121": "", "convnext_tiny": "",
    "wide_resnet50_2": "", "resnext50_32x4d": "resnext50_32x4d",
}  # fmt: skip
"""Nets that torchvision and timm share, and the name of ours where it is the same net."""


@pytest.mark.parametrize("name", list(TWINS))
def test_two_makers_write_one_dna(name: str) -> None:
    """Their stages have other names, and begin and end elsewhere."""
    with torch.device("meta"):
        nets = [timm.create_model(name), torchvision.models.get_model(name, weights=None)]
    found = [dna(ca.measure(net, size=224)) for net in nets]
    found += [dna(measured(TWINS[name]))] if TWINS[name] else []
    assert len({one.genes for one in found}) == 1
    assert len({one.stages for one in found}) == len(found)


def test_it_goes_to_json() -> None:
    assert json.loads(dna(measured("lenet5")).to_json())["net"] == "lenet5"


class Odd(nn.Module):
    """What no rule foresees: a tensor of two readers, one output of three, an unknown function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, dilation=2)
        self.group = nn.Conv2d(6, 8, (1, 3), padding=(0, 1), groups=2, bias=False)
        self.norm = nn.BatchNorm2d(8, affine=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = self.conv(x)
        return self.norm(self.group(y)), y.cumsum(1), y


def test_words_of_odd_layers() -> None:
    found = dna(ca.measure(Odd(), size=16))
    assert [row for _, row in found.stages] == ["c3/2vd2-6b (c1x3g2-8 bn0 & cumsum)"]


@pytest.mark.parametrize(
    ("layer", "size", "word"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), 8, "c3-8b"),
        (nn.Conv2d(3, 8, 3), 8, "c3v-8b"),
        (nn.Conv2d(3, 8, 3, padding=2), 8, "c3p2-8b"),
        (nn.Conv2d(3, 8, 4, padding="same"), 8, "c4s-8b"),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), 8, "c3/2-8b"),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, stride=2)), 8, "c3/2s-8b"),
        (nn.Conv2d(3, 8, (3, 5), padding=(1, 0)), 8, "c3x5hv-8b"),
        (nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), 8, "dw3"),
        (nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False), 8, "dw3-6"),
        (nn.MaxPool2d(3, 2, 1), 8, "max3/2"),
        (nn.MaxPool2d(3, 2, ceil_mode=True), 8, "max3/2s"),
        (nn.AdaptiveAvgPool2d(1), 8, "gap"),
        (nn.AdaptiveAvgPool2d(3), 8, "avg->3"),
        (nn.LeakyReLU(0.2), 8, "leaky:0.2"),
        (nn.Dropout(0.3), 8, "drop:0.3"),
        (nn.LocalResponseNorm(5), 8, "lrn:5,0.0001,0.75,1"),
        (nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), 8, "c3-8b:reflect"),
    ],
)
def test_words(layer: nn.Module, size: int, word: str) -> None:
    anatomy = ca.measure(layer, size=size, channels=3)
    assert str(Words(anatomy).word(anatomy.layers[-1].number)) == word


def test_repeats() -> None:
    assert runs("aaab") == [Run(0, 1, 3), Run(3, 1, 1)]
    assert runs("xababab") == [Run(0, 1, 1), Run(1, 2, 3)]
    # What covers most comes first, then what is shorter.
    assert runs("aabaab") == [Run(0, 3, 2)]
    assert runs("rfrfr", [False, True, False, True, False]) == [Run(0, 1, 1), Run(1, 2, 2)]
    assert runs("") == []
