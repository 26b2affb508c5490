"""Flattening: from a map to one vector per image, such as a global pooling."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.gene import Gene
from convatlas.genes.label import Label

PYRAMID = (1, 2, 4)
"""Parts per side at each level of spatial pyramid pooling."""


class GlobalAverage(nn.Module):
    """Mean of each channel; (N, C, H, W) -> (N, C)."""

    label = Label("global average pooling", "flattening")

    def features(self, channels: int) -> int:
        """Return the number of features for a map of `channels`."""
        return channels

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))  # (N, C, H, W) -> (N, C)


class GlobalMax(nn.Module):
    """Maximum of each channel; (N, C, H, W) -> (N, C)."""

    label = Label("global max pooling", "flattening", "gmp", "global max")

    def features(self, channels: int) -> int:
        """Return the number of features for a map of `channels`."""
        return channels

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))  # (N, C, H, W) -> (N, C)


class GeM(nn.Module):
    """(mean x^p)^(1/p), between the mean (p = 1) and the maximum (p -> infinity); p is learned, initially 3.

    (N, C, H, W) -> (N, C); values below 1e-6 count as 1e-6.
    """

    label = Label("GeM pooling", "flattening", "gem")

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 3.0)

    def features(self, channels: int) -> int:
        """Return the number of features for a map of `channels`."""
        return channels

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_min(1e-6).pow(self.weight).mean((2, 3)).pow(1 / self.weight)  # (N, C, H, W) -> (N, C)


class Pyramid(nn.Module):
    """Maxima of each channel over a grid of 1 x 1, 2 x 2 and 4 x 4 parts; (N, C, H, W) -> (N, 21 C)."""

    label = Label("spatial pyramid pooling", "flattening", "pyramid", "pyramid")

    def features(self, channels: int) -> int:
        """Return the number of features for a map of `channels`."""
        return channels * sum(bins**2 for bins in PYRAMID)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([F.adaptive_max_pool2d(x, bins).flatten(1) for bins in PYRAMID], 1)  # (N, 21 C)


def _gene(
    name: str, formula: str, shape: str, source: str, make: Callable[[], nn.Module], parameters: str = "0"
) -> Gene:
    return Gene("flattening", name, formula, shape, parameters, "0", source, make)


GENES = (
    _gene("flatten", "all values of the map as one vector", "(N,C,H,W) -> (N,C*H*W)", "LeCun et al. 1989", nn.Flatten),
    _gene("global_average", "mean of each map", "(N,C,H,W) -> (N,C)", "Lin et al. 2014", GlobalAverage),
    _gene("global_max", "max of each map", "(N,C,H,W) -> (N,C)", "Oquab et al. 2015", GlobalMax),
    _gene("gem", "(mean x^p)^(1/p), p learned", "(N,C,H,W) -> (N,C)", "Radenovic et al. 2018", GeM, parameters="1"),
    _gene("pyramid", "max of 1 + 4 + 16 parts of each map", "(N,C,H,W) -> (N,21*C)", "He et al. 2014", Pyramid),
)
