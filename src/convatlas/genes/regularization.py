"""Regularization inside a net: noise in training, the identity otherwise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.genes.gene import Gene, Maker
from convatlas.genes.label import Label


class StochasticDepth(nn.Module):
    """Zero a residual branch with probability `rate`, separately for each image, and scale up the others; same shape.

    Source: Huang et al. 2016; per image and scaled in training as in Tan & Le 2019.
    """

    label = Label("stochastic depth", "regularization")

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.rate  # (N, 1, 1, 1)
        return x * (keep / (1 - self.rate)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.rate:.4g}"


def _gene(name: str, formula: str, source: str, make: Maker) -> Gene:
    return Gene("regularization", name, formula, "same shape", "0", "0", source, make)


GENES = (
    _gene(
        "dropout",
        "training: x_i / (1 - p), or 0 with probability p; in evaluation x",
        "Srivastava et al. 2014",
        nn.Dropout,
    ),
    _gene(
        "stochastic_depth",
        "training: branch(x) / (1 - p), or 0 with probability p, larger in deeper branches; in evaluation branch(x)",
        "Huang et al. 2016",
        StochasticDepth,
    ),
)
"""Unlike at other loci, a net has all of them, each with a rate p."""
