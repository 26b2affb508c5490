"""Attention: a gate in 0..1 for each channel or each position of a map, computed from the map itself."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.gene import Gene, Maker, chain
from convatlas.genes.label import Label
from convatlas.genes.layers import Convolution
from convatlas.genes.structural import Multiply


class Squeeze(nn.Module):
    """Mean of each channel; (N, C, H, W) -> (N, C, 1, 1)."""

    label = Label("global average pooling", "flattening")

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)  # (N, C, H, W) -> (N, C, 1, 1)


class Gated(nn.Module):
    """Multiply a map by the gate that `gate` computes from it, which broadcasts to the map; same shape."""

    def __init__(self, gate: nn.Module):
        super().__init__()
        self.gate = gate
        self.multiply = Multiply()

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)  # (N, C, 1, 1) or (N, 1, H, W)
        return self.multiply(x, gate)  # type: ignore[no-any-return]


class NeighbourConvolution(nn.Module):
    """ECA's convolution along the channels of a squeezed map; (N, C, 1, 1), same shape."""

    label = Label("convolution along channels", "attention")

    def __init__(self, kernel: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, 1, kernel))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv1d(x.flatten(2).transpose(1, 2), self.weight, padding=self.weight.shape[2] // 2)  # (N, 1, C)
        return y.transpose(1, 2).unsqueeze(-1)  # (N, C, 1, 1)


class AverageAndMax(nn.Module):
    """Mean and maximum of each channel, as two positions of a map, or of each position, as two channels.

    (N, C, H, W) -> (N, C, 2, 1) if `over` is "map", (N, 2, H, W) if it is "channels".
    """

    label = Label("average and max", "attention")

    def __init__(self, over: str):
        super().__init__()
        self.over = over

    def forward(self, x: Tensor) -> Tensor:
        if self.over == "channels":
            return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)  # (N, 2, H, W)
        return torch.cat([x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)], 2)  # (N, C, 2, 1)

    def extra_repr(self) -> str:
        return self.over


class SumOfPositions(nn.Module):
    """Sum of each channel; (N, C, H, W) -> (N, C, 1, 1)."""

    label = Label("sum of positions", "attention")

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3), keepdim=True)  # (N, C, H, W) -> (N, C, 1, 1)


def _squeeze_excitation(channels: int, squeezed: int, activation: Callable[[int], nn.Module]) -> nn.Module:
    return Gated(
        chain(
            squeeze=Squeeze(),
            reduce=Convolution(channels, squeezed, 1),
            act=activation(squeezed),
            expand=Convolution(squeezed, channels, 1),
            gate=nn.Sigmoid(),
        )
    )


def eca_kernel(channels: int) -> int:
    """Return the size of ECA's kernel: log2(C) / 2 + 1 / 2, truncated, plus 1 if that is even."""
    size = int(abs(math.log2(channels) / 2 + 0.5))
    return size if size % 2 else size + 1


def _eca(channels: int, squeezed: int, activation: Callable[[int], nn.Module]) -> nn.Module:
    return Gated(chain(squeeze=Squeeze(), neighbours=NeighbourConvolution(eca_kernel(channels)), gate=nn.Sigmoid()))


def _cbam(channels: int, squeezed: int, activation: Callable[[int], nn.Module]) -> nn.Module:
    # Mean and maximum pass through the shared layers as two positions of one map, so that each module is called once.
    return chain(
        channel=Gated(
            chain(
                squeeze=AverageAndMax("map"),
                reduce=Convolution(channels, squeezed, 1, bias=False),
                act=activation(squeezed),
                expand=Convolution(squeezed, channels, 1, bias=False),
                sum=SumOfPositions(),
                gate=nn.Sigmoid(),
            )
        ),
        space=Gated(
            chain(
                squeeze=AverageAndMax("channels"), conv=Convolution(2, 1, 7, padding=3, bias=False), gate=nn.Sigmoid()
            )
        ),
    )


def _gene(name: str, formula: str, source: str, make: Maker, parameters: str, macs: str, *aliases: str) -> Gene:
    return Gene("attention", name, formula, "same shape", parameters, macs, source, make, aliases)


GENES = (
    _gene("none", "x", "-", lambda channels, squeezed, activation: nn.Identity(), "0", "0"),
    _gene(
        "squeeze_excitation",
        "x_c logistic(W2 act(W1 mean(x)))_c",
        "Hu et al. 2018",
        _squeeze_excitation,
        "2*C*r + C + r",
        "2*C*r",
        "se",
    ),
    _gene(
        "eca",
        "x_c logistic(w * mean(x))_c, w along the channels, k = odd(log2(C)/2 + 1/2)",
        "Wang et al. 2020",
        _eca,
        "k",
        "k*C",
    ),
    _gene(
        "cbam",
        "x logistic(MLP(mean) + MLP(max)), then x logistic(conv7x7([mean_c, max_c]))",
        "Woo et al. 2018",
        _cbam,
        "2*C*r + 98",
        "4*C*r + 98*H*W",
    ),
)
