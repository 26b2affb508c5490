"""Output layers, from a vector to one number per class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from convatlas.base.errors import GeneError
from convatlas.genes.digits import bitmaps
from convatlas.genes.gene import Gene, Maker, chain
from convatlas.genes.label import Label
from convatlas.genes.layers import Dense, SelfCounting


class RadialBasis(SelfCounting):
    """Negative squared distances to the bitmaps of the first `classes` digits; (N, 84) -> (N, classes).

    The paper's output is the distance itself, a penalty; here the sign is reversed, so that the largest output wins.
    Source: LeCun et al. 1998, section II-B.
    """

    label = Label("radial basis functions", "dense")

    def __init__(self, features: int, classes: int):
        super().__init__()
        digits = bitmaps()
        if features != len(digits[0]):
            raise ValueError(f"the bitmaps have {len(digits[0])} pixels, and there are {features} features")
        if classes > len(digits):
            raise GeneError(
                f"output=rbf has bitmaps of {len(digits)} digits, not of {classes} classes; use dense or squashed"
            )
        self.register_buffer("points", torch.empty(classes, features), persistent=False)
        self.reset_parameters()

    points: Tensor

    def reset_parameters(self) -> None:
        self.points.copy_(torch.tensor(bitmaps()[: len(self.points)]))

    def forward(self, x: Tensor) -> Tensor:
        return -(x[:, None] - self.points).square().sum(2)  # (N, classes)

    def macs(self, shape: Sequence[int]) -> int:
        return shape[0] * self.points.numel()

    def extra_repr(self) -> str:
        return f"{self.points.shape[1]}, {self.points.shape[0]}"


Activate = Callable[[int], nn.Module]


def _dense(features: int, classes: int, activate: Activate) -> nn.Module:
    return chain(dense=Dense(features, classes))


def _squashed(features: int, classes: int, activate: Activate) -> nn.Module:
    return chain(dense=Dense(features, classes), act=activate(classes))


def _rbf(features: int, classes: int, activate: Activate) -> nn.Module:
    return RadialBasis(features, classes)


def _gene(name: str, formula: str, source: str, make: Maker, parameters: str, aliases: tuple[str, ...] = ()) -> Gene:
    return Gene("output", name, formula, "(N,F) -> (N,K)", parameters, "F*K", source, make, aliases)


GENES = (
    _gene("dense", "W x + b: logits, for a softmax", "Bridle 1990", _dense, "F*K + K", ("softmax",)),
    _gene("squashed", "act(W x + b), with targets of 1 and -1", "Rumelhart et al. 1986", _squashed, "F*K + K"),
    _gene(
        "rbf",
        "-sum_i (x_i - p_ki)^2, p_k the fixed 7 x 12 bitmap of digit k (1 and -1)",
        "LeCun et al. 1998; the bitmaps are ours",
        _rbf,
        "0",
    ),
)
