"""Normalization: what brings a layer's numbers to a common scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.gene import Gene, Maker
from convatlas.genes.label import Label


@dataclass(frozen=True)
class Norm:
    """How a family normalizes: eps, momentum (PyTorch's sense: the new share), and whether there is a gain (gamma)."""

    eps: float = 1e-3
    momentum: float = 0.01
    gain: bool = True


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization; without a gain (`Norm.gain` False) gamma is the constant 1 and no parameter."""

    def __init__(self, channels: int, norm: Norm):
        super().__init__(channels, norm.eps, norm.momentum)
        if not norm.gain:
            del self.weight
            self.register_buffer("weight", torch.ones(channels), persistent=False)

    def reset_parameters(self) -> None:
        if self.running_mean is not None and not self.running_mean.is_meta:
            super().reset_parameters()


class DarknetBatchNorm(BatchNorm):
    """Batch normalization as darknet divides: by the deviation plus eps, not by the root of the variance plus eps.

    While training, the variance it divides by is the unbiased one. Source: darknet, the layer's CPU code.
    """

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self._statistics(x)
        # The root has no slope at 0, where a dead channel stands; a variance this small is nothing beside eps.
        deviation = variance.clamp_min(torch.finfo(x.dtype).tiny).sqrt() + self.eps
        scale = self.weight / deviation
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        running = self.running_mean, self.running_var
        if not self.training:
            return running  # type: ignore[return-value]
        if x.numel() // x.shape[1] == 1:
            raise ValueError(f"one value a channel has no variance to train with: the input is {tuple(x.shape)}")
        variance, mean = torch.var_mean(x, (0, 2, 3))
        with torch.no_grad():
            for kept, new in zip(running, (mean, variance), strict=True):
                kept.lerp_(new.to(kept.dtype), self.momentum)  # type: ignore[union-attr,arg-type]
        return mean, variance


class LayerNorm(nn.Module):
    """Normalizes each position over its channels, as ConvNeXt does; (N, C, H, W) or (N, C), same shape out."""

    label = Label("layer normalization", "normalization")

    def __init__(self, channels: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.eps).movedim(-1, 1)


class Rescale(nn.Module):
    """scale x + offset, with constants: pixels in 0..255 to the net's range; same shape."""

    label = Label("photo normalization", "normalization", "photo")

    def __init__(self, scale: float, offset: float = 0.0):
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset

    def extra_repr(self) -> str:
        return f"{self.scale:.6g}, {self.offset:.6g}"


class Standardize(nn.Module):
    """(x - mean) / sqrt(variance) a channel, inside the graph; (N, C, H, W), same shape.

    With `learned` the statistics (and a count) are part of the weights, as in Keras' EfficientNets: 2C + 1 numbers
    that start as 0, 1 and 0. Otherwise they are constants and belong to no file.
    """

    label = Label("photo normalization", "normalization", "photo")

    def __init__(self, mean: Sequence[float], variance: Sequence[float], learned: bool = False):
        super().__init__()
        self.constants = tuple(mean), tuple(variance)
        self.statistics = ("mean", "variance", "count") if learned else ()
        self.register_buffer("mean", torch.tensor(mean), persistent=learned)
        self.register_buffer("variance", torch.tensor(variance), persistent=learned)
        self.register_buffer("count", torch.tensor(0.0) if learned else None, persistent=learned)

    mean: Tensor
    variance: Tensor
    count: Tensor | None

    def reset_parameters(self) -> None:
        for buffer, values in zip((self.mean, self.variance), self.constants, strict=True):
            buffer.copy_(torch.tensor(values, dtype=buffer.dtype))
        if self.count is not None:
            self.count.zero_()

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Constants are made anew where the net goes to another precision: rounded twice, float64 would lose digits."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if not self.statistics and not self.mean.is_meta:
            self.reset_parameters()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean[:, None, None]) / self.variance.sqrt()[:, None, None]


def groups_of(channels: int, most: int = 32) -> int:
    """The largest divisor of `channels` up to `most`: the number of groups where 32 does not divide the channels."""
    return max(count for count in range(1, min(most, channels) + 1) if channels % count == 0)


def _gene(
    name: str, formula: str, source: str, make: Maker, parameters: str = "2*C", aliases: tuple[str, ...] = ()
) -> Gene:
    return Gene("normalization", name, formula, "same shape", parameters, "0", source, make, aliases)


GENES = (
    _gene("none", "x", "-", lambda channels, norm: nn.Identity(), "0"),
    _gene(
        "batch",
        "gamma_c (x - mean_c) / sqrt(var_c + eps) + beta_c, over the batch and the map; 2C running statistics more",
        "Ioffe & Szegedy 2015",
        BatchNorm,
        "4*C",
    ),
    _gene(
        "batch_darknet",
        "gamma_c (x - mean_c) / (sqrt(var_c) + eps) + beta_c, over the batch and the map; 2C running statistics more",
        "Redmon 2013-2018, darknet",
        DarknetBatchNorm,
        "4*C",
    ),
    _gene(
        "layer",
        "gamma_c (x - mean) / sqrt(var + eps) + beta_c, over the channels of each position",
        "Ba et al. 2016; Liu et al. 2022",
        lambda channels, norm: LayerNorm(channels, norm.eps),
    ),
    _gene(
        "group",
        "gamma_c (x - mean_g) / sqrt(var_g + eps) + beta_c, over the map and each of 32 groups (or the largest "
        "divisor of C below)",
        "Wu & He 2018",
        lambda channels, norm: nn.GroupNorm(groups_of(channels), channels, norm.eps),
    ),
    _gene(
        "instance",
        "gamma_c (x - mean_nc) / sqrt(var_nc + eps) + beta_c, over each map",
        "Ulyanov et al. 2016",
        lambda channels, norm: nn.InstanceNorm2d(channels, norm.eps, affine=True),
    ),
    _gene(
        "local_response",
        "x / (2 + 1e-4 sum x^2)^0.75, the sum over 5 neighbouring channels",
        "Krizhevsky et al. 2012, as printed",
        # PyTorch divides alpha by the number of neighbours, the paper does not.
        lambda channels, norm: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        "0",
        ("lrn",),
    ),
    _gene(
        "local_response_caffe",
        "x / (1 + 1e-4 / 5 sum x^2)^0.75, the sum over 5 neighbouring channels",
        "Jia et al. 2014, Caffe's LRN layer",
        lambda channels, norm: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
        "0",
        ("lrn_caffe",),
    ),
)
