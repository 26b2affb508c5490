"""Kinds of convolution: which inputs each output reads."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from convatlas.genes.gene import Gene
from convatlas.genes.layers import Convolution
from convatlas.genes.normalization import groups_of
from convatlas.genes.padding import Fill
from convatlas.genes.sparse_connections import LinkedConvolution, Links, half_table


class Separable(nn.Sequential):
    """A depthwise convolution and a 1 x 1 one with nothing between them; counted as one layer (Chollet 2017)."""

    counts_as_one = True


@dataclass(frozen=True)
class ConvSpec:
    """Hyperparameters of a convolution, whatever its kind; kernel and padding are (height, width).

    `links` is the published connection table of a linked one. `groups` is the number of groups of a grouped one; where
    it does not divide the channels, the largest smaller divisor is used.
    """

    channels: int
    outputs: int
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]
    dilation: int
    fill: Fill
    bias: bool
    links: Links | None = None
    groups: int = 32

    def conv(self, groups: int = 1, outputs: int | None = None, bias: bool | None = None) -> Convolution:
        """Return a convolution in `groups` groups."""
        return Convolution(
            self.channels,
            outputs or self.outputs,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            groups,
            self.bias if bias is None else bias,
            padding_mode=self.fill,
        )


def _separable(spec: ConvSpec) -> nn.Module:
    return Separable(
        OrderedDict(
            depthwise=spec.conv(spec.channels, spec.channels, bias=False),
            pointwise=Convolution(spec.channels, spec.outputs, 1, bias=spec.bias),
        )
    )


def _linked(spec: ConvSpec) -> nn.Module:
    links = spec.links or half_table(spec.channels, spec.outputs)
    return LinkedConvolution(
        spec.channels, links, spec.kernel, spec.stride, spec.padding, spec.dilation, spec.bias, spec.fill
    )


def _gene(name: str, formula: str, source: str, make: Callable[[ConvSpec], nn.Module], parameters: str) -> Gene:
    # Each weight is multiplied once per output position.
    macs = f"({parameters})*H*W"
    return Gene("convolution", name, formula, "(N,C,n,n) -> (N,K,H,W) by the alignment", parameters, macs, source, make)


GENES = (
    _gene("dense", "y_j = sum_i w_ij * x_i", "LeCun et al. 1989", lambda spec: spec.conv(), "k*k*C*K"),
    _gene(
        "depthwise",
        "y_j = w_j * x_i; each input i has K / C outputs j",
        "Sifre 2014; Howard et al. 2017",
        lambda spec: spec.conv(groups=spec.channels),
        "k*k*K",
    ),
    _gene(
        "separable",
        "y_j = sum_i v_ij (w_i * x_i)",
        "Sifre 2014; Chollet 2017",
        _separable,
        "k*k*C + C*K",
    ),
    _gene(
        "grouped",
        "y_j = sum w_ij * x_i over the inputs i of j's group; g = 32 groups (2 in AlexNet), or the largest smaller "
        "number that divides C and K",
        "Krizhevsky et al. 2012; Xie et al. 2017",
        lambda spec: spec.conv(groups=groups_of(math.gcd(spec.channels, spec.outputs), spec.groups)),
        "k*k*C*K/g",
    ),
    _gene(
        "linked",
        "y_j = sum w_ij * x_i over the inputs i in row j of a connection table; half of the inputs, if no table is "
        "published",
        "LeCun et al. 1990, 1998; the table of halves is ours",
        _linked,
        "k*k*C*K/2",
    ),
    _gene(
        "dilated",
        "dense with dilation 2, so that the window spans 2k - 1 pixels; strided convolutions are not dilated",
        "Yu & Koltun 2016",
        lambda spec: spec.conv(),
        "k*k*C*K",
    ),
)

DILATIONS = {"dilated": 2}
"""Dilation by gene, where it is not 1."""
