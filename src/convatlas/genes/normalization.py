"""Normalization layers, and layers that standardize a photo inside a net."""

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
    """Settings of a family's normalization: eps, momentum (as in PyTorch), and whether it has a gain (gamma)."""

    eps: float = 1e-3
    momentum: float = 0.01
    gain: bool = True


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization; without a gain (`Norm.gain` False) gamma is a constant 1 instead of a parameter."""

    def __init__(self, channels: int, norm: Norm):
        super().__init__(channels, norm.eps, norm.momentum)
        if not norm.gain:
            del self.weight
            self.register_buffer("weight", torch.ones(channels), persistent=False)

    def reset_parameters(self) -> None:
        if self.running_mean is not None and not self.running_mean.is_meta:
            super().reset_parameters()


class DarknetBatchNorm(BatchNorm):
    """Batch normalization of darknet, which divides by sqrt(variance) + eps, not by sqrt(variance + eps).

    In training it uses the unbiased variance. Source: CPU code of darknet's layer.
    """

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self._statistics(x)  # (C,), (C,)
        # Clamping keeps the gradient of the root finite for dead channels; that variance is negligible beside eps.
        deviation = variance.clamp_min(torch.finfo(x.dtype).tiny).sqrt() + self.eps
        scale = self.weight / deviation
        return x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]  # (N, C, H, W)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        running = self.running_mean, self.running_var
        if not self.training:
            return running  # type: ignore[return-value]
        if x.numel() // x.shape[1] == 1:
            raise ValueError(
                f"batch normalization cannot train on one value per channel; the input is {tuple(x.shape)}"
            )
        variance, mean = torch.var_mean(x, (0, 2, 3))
        with torch.no_grad():
            for kept, new in zip(running, (mean, variance), strict=True):
                kept.lerp_(new.to(kept.dtype), self.momentum)  # type: ignore[union-attr,arg-type]
        return mean, variance


class LayerNorm(nn.Module):
    """Normalize each position over its channels, as in ConvNeXt; (N, C, H, W) or (N, C), same shape."""

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
        y = F.layer_norm(
            x.movedim(1, -1), self.weight.shape, self.weight, self.bias, self.eps
        )  # (N, H, W, C) or (N, C)
        return y.movedim(-1, 1)  # (N, C, H, W) or (N, C)


class Rescale(nn.Module):
    """Map pixels in 0..255 to the net's range by scale x + offset, both constant; same shape."""

    label = Label("photo normalization", "normalization", "photo")

    def __init__(self, scale: float, offset: float = 0.0):
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.offset  # (N, C, H, W)

    def extra_repr(self) -> str:
        return f"{self.scale:.6g}, {self.offset:.6g}"


class Standardize(nn.Module):
    """(x - mean) / sqrt(variance) for each channel; (N, C, H, W), same shape.

    With `learned` the statistics and a count are part of the weights, as in Keras' EfficientNets: 2C + 1 numbers.
    Otherwise they are constants, which weight files do not hold.
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
        """Recompute the constants after a change of precision: converting them from float32 would lose digits."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if not self.statistics and not self.mean.is_meta:
            self.reset_parameters()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean[:, None, None]) / self.variance.sqrt()[:, None, None]  # (N, C, H, W)


def groups_of(channels: int, limit: int = 32) -> int:
    """Return the number of groups: the largest divisor of `channels` up to `limit`."""
    return max(count for count in range(1, min(limit, channels) + 1) if channels % count == 0)


def _gene(
    name: str, formula: str, source: str, make: Maker, parameters: str = "2*C", aliases: tuple[str, ...] = ()
) -> Gene:
    return Gene("normalization", name, formula, "same shape", parameters, "0", source, make, aliases)


GENES = (
    _gene("none", "x", "-", lambda channels, norm: nn.Identity(), "0"),
    _gene(
        "batch",
        "gamma_c (x - mean_c) / sqrt(var_c + eps) + beta_c, over the batch and the map; plus 2C running statistics",
        "Ioffe & Szegedy 2015",
        BatchNorm,
        "4*C",
    ),
    _gene(
        "batch_darknet",
        "gamma_c (x - mean_c) / (sqrt(var_c) + eps) + beta_c, over the batch and the map; plus 2C running statistics",
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
        "gamma_c (x - mean_g) / sqrt(var_g + eps) + beta_c, over the map and the channels of a group; 32 groups, or "
        "the largest smaller divisor of C",
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
