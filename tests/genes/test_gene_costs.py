"""What a gene says it costs is what the anatomy measures."""

from __future__ import annotations

import ast
import operator

import pytest
import torch
from torch import nn

from convatlas.anatomy.measure.measure import measure
from convatlas.genes.attention import eca_kernel
from convatlas.genes.convolution import DILATIONS, ConvSpec
from convatlas.genes.feedback import Layer
from convatlas.genes.loci import LOCI
from convatlas.genes.normalization import Norm

C, K, SIDE, KERNEL, SQUEEZED = 64, 128, 10, 3, 4
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(formula: str, **letters: int) -> float:
    """The arithmetic of a cost, without eval."""

    def of(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](of(node.left), of(node.right))
        return node.value if isinstance(node, ast.Constant) else letters[node.id]

    return of(ast.parse(formula, mode="eval").body)


def relu(channels: int) -> nn.Module:
    return nn.ReLU()


FEATURES, HIDDEN, CLASSES, STEPS = 84, 30, 10, 3


class Routed(nn.Module):
    """A routing of votes that are a map: of so many children as it has channels."""

    def __init__(self, routing):
        super().__init__()
        self.routing = routing

    def forward(self, votes):
        if getattr(self.routing, "needs_lengths", False):
            return self.routing(votes, votes[:, :, 0, 0])
        return self.routing(votes)


def made(gene):
    letters = {"F": FEATURES, "C": HIDDEN, "K": CLASSES, "s": STEPS}
    if gene.locus == "output":
        return gene.make(FEATURES, CLASSES, relu), letters
    if gene.locus == "feedback":
        return gene.make(
            [Layer("input", FEATURES), Layer("hidden1", HIDDEN, nn.Tanh()), Layer("output", CLASSES)], STEPS
        ), letters
    if gene.locus == "decoder":
        return gene.make(FEATURES, (3, SIDE, SIDE), relu), {"F": FEATURES, "C": 3, "H": SIDE, "W": SIDE}
    if gene.locus == "routing":
        letters = {"I": C, "J": SIDE, "D": SIDE, "s": STEPS}
        return Routed(gene.make(C, SIDE, STEPS)), letters
    kernel = eca_kernel(C) if gene.name == "eca" else KERNEL
    letters = {"C": C, "K": K, "k": kernel, "r": SQUEEZED, "g": 32, "H": SIDE, "W": SIDE, "F": SIDE}
    if gene.locus == "convolution":
        dilation = DILATIONS.get(gene.name, 1)
        return gene.make(ConvSpec(C, K, (KERNEL,) * 2, 1, (dilation,) * 2, dilation, "zeros", False)), letters
    if gene.locus in ("padding", "alignment"):
        return (gene.make((1, 1)) if gene.locus == "padding" else gene.make((KERNEL, KERNEL), 1)), letters
    if gene.locus == "pooling":
        return gene.make(C, KERNEL, 1, "same", "outside"), letters
    if gene.locus in ("flattening", "skip"):
        return gene.make(), letters
    if gene.locus == "normalization":
        return gene.make(C, Norm()), letters
    if gene.locus == "attention":
        return gene.make(C, SQUEEZED, relu), letters
    if gene.locus == "auxiliary":
        return gene.make(SIDE, K, relu), letters
    return gene.make(C), letters


@pytest.mark.parametrize(
    "gene", [gene for genes in LOCI.values() for gene in genes.values()], ids=lambda g: f"{g.locus}-{g}"
)
def test_costs(gene):
    module, letters = made(gene)

    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.flatten = nn.Flatten() if gene.locus in ("output", "feedback", "decoder") else nn.Identity()
            self.gene = module

        def forward(self, x):
            return self.gene(x[:, 0, 0] if gene.locus == "auxiliary" else self.flatten(x))

    vector = gene.locus in ("output", "feedback", "decoder")
    anatomy = measure(Alone(), size=1 if vector else SIDE, channels=FEATURES if vector else C)
    dense = FEATURES * HIDDEN + HIDDEN * CLASSES if gene.locus == "feedback" else 0
    biases = HIDDEN + CLASSES if gene.locus == "feedback" else 0
    assert anatomy.parameters == value(gene.parameters, **letters) + dense + biases
    assert anatomy.macs == value(gene.macs, **letters) + dense * STEPS
    assert len(anatomy.layers) >= 2


@pytest.mark.parametrize("name", LOCI["convolution"])
def test_a_convolution_gene_connects_what_it_says(name):
    """Which inputs an output depends on, read off the gradient."""
    dilation = DILATIONS.get(name, 1)
    module = (
        LOCI["convolution"][name].make(ConvSpec(64, 64, (3, 3), 1, (dilation,) * 2, dilation, "zeros", False)).double()
    )
    x = torch.randn(1, 64, 9, 9, dtype=torch.float64, requires_grad=True)
    module(x)[0, 5, 4, 4].backward()
    seen = x.grad[0] != 0
    channels = {"depthwise": 1, "grouped": 2, "linked": 32}.get(name, 64)
    assert seen.any((1, 2)).sum() == channels
    assert seen.any(0).sum() == 9
    reach = seen.any(0).any(0).nonzero().flatten()
    assert (reach.max() - reach.min()).item() == 2 * dilation
