"""Pooling: one number from each window of a map.

The padding around the map has one of two borders: `outside`, where the padding is ignored (an average divides by the
number of positions inside), or `zeros`, where it counts as zeros.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.gene import Gene, Maker
from convatlas.genes.label import Label
from convatlas.genes.padding import Alignment, pad_amounts

Border = Literal["outside", "zeros"]


class Pool(nn.Module):
    """Base of all poolings, with a k x k window every s pixels; (N, C, H, W) -> (N, C, H', W')."""

    def __init__(
        self, channels: int, kernel: int, stride: int, alignment: Alignment = "valid", border: Border = "outside"
    ):
        super().__init__()
        self.channels, self.kernel, self.stride = channels, kernel, stride
        self.alignment, self.border = alignment, border

    def padded(self, x: Tensor, value: float = 0.0) -> Tensor:
        """Pad the map with `value`, or with zeros if the border is `zeros`."""
        border = pad_amounts(x, (self.kernel, self.kernel), self.stride, self.alignment)
        return F.pad(x, border, value=0.0 if self.border == "zeros" else value) if any(border) else x

    def extra_repr(self) -> str:
        return f"{self.kernel}, stride {self.stride}, {self.alignment}, {self.border}"


class MaxPool(Pool):
    """Maximum of the window."""

    label = Label("max pooling", "pooling")

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.padded(x, float("-inf")), self.kernel, self.stride)  # (N, C, H', W')


class OverlappingPool(MaxPool):
    """Maximum of a window one pixel wider than the stride (3 and 2 in AlexNet); the map keeps its published size."""

    label = Label("overlapping max pooling", "pooling", "max", "max pool")

    def __init__(
        self, channels: int, kernel: int, stride: int, alignment: Alignment = "valid", border: Border = "outside"
    ):
        extra = max(0, stride + 1 - kernel)
        if extra and alignment == "valid":
            alignment = 0, extra
        elif extra and alignment == "symmetric":
            alignment = (kernel - 1) // 2, (kernel - 1) // 2 + extra
        super().__init__(channels, kernel + extra, stride, alignment, border)


class AveragePool(Pool):
    """Mean of the window; the border decides whether padding counts as zeros."""

    label = Label("average pooling", "pooling")

    def forward(self, x: Tensor) -> Tensor:
        padded = self.padded(x)
        mean = F.avg_pool2d(padded, self.kernel, self.stride)  # (N, C, H', W')
        if padded is x or self.border == "zeros":
            return mean
        inside = F.avg_pool2d(self.padded(torch.ones_like(x[:1, :1])), self.kernel, self.stride)
        return mean / inside


class L2Pool(AveragePool):
    """Root mean square of the window."""

    label = Label("L2 pooling", "pooling", "l2", "L2 pool")

    def forward(self, x: Tensor) -> Tensor:
        # The constant keeps the gradient of the root finite where the whole window is 0.
        return torch.sqrt(super().forward(x * x) + 1e-12)  # (N, C, H', W')


class MixedPool(AveragePool):
    """a max + (1 - a) mean, with one learned a, initially 0.5."""

    label = Label("mixed pooling", "pooling", "mixed", "mixed pool")

    def __init__(
        self, channels: int, kernel: int, stride: int, alignment: Alignment = "valid", border: Border = "outside"
    ):
        super().__init__(channels, kernel, stride, alignment, border)
        self.weight = nn.Parameter(torch.tensor(0.5))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        largest = F.max_pool2d(self.padded(x, float("-inf")), self.kernel, self.stride)  # (N, C, H', W')
        return self.weight * largest + (1 - self.weight) * super().forward(x)


class StochasticPool(Pool):
    """In training, a value of the window drawn with a probability proportional to it; in evaluation, its expectation.

    Negative values count as 0, as after a ReLU.
    """

    label = Label("stochastic pooling", "pooling", "stochastic", "stochastic pool")

    def forward(self, x: Tensor) -> Tensor:
        padded = self.padded(F.relu(x))
        if not self.training:
            weight = F.avg_pool2d(padded, self.kernel, self.stride)
            square = F.avg_pool2d(padded * padded, self.kernel, self.stride)
            return square / weight.clamp_min(1e-12)  # (N, C, H', W')
        windows = padded.unfold(2, self.kernel, self.stride).unfold(3, self.kernel, self.stride).flatten(4)
        # In a window of zeros all values are equally likely.
        probabilities = windows.detach() + (windows.detach().sum(-1, keepdim=True) == 0)
        drawn = torch.multinomial(probabilities.flatten(0, 3), 1).view(*windows.shape[:4], 1)
        return windows.gather(-1, drawn).squeeze(-1)  # (N, C, H', W')


class BlurredPool(Pool):
    """Max pooling with stride 1, a binomial 3 x 3 blur, then every s-th pixel: almost invariant to shifts."""

    label = Label("blurred pooling", "pooling", "blurred", "blurred pool")

    def __init__(
        self, channels: int, kernel: int, stride: int, alignment: Alignment = "valid", border: Border = "outside"
    ):
        super().__init__(channels, kernel, stride, alignment, border)
        self.register_buffer("blur", torch.empty(3, 3), persistent=False)
        self.reset_parameters()

    blur: Tensor

    def reset_parameters(self) -> None:
        row = torch.tensor([0.25, 0.5, 0.25], dtype=self.blur.dtype, device=self.blur.device)
        self.blur.copy_(row[:, None] * row)

    def forward(self, x: Tensor) -> Tensor:
        dense = F.max_pool2d(self.padded(x, float("-inf")), self.kernel, 1)  # (N, C, stride H', stride W')
        kernel = self.blur.expand(x.shape[1], 1, 3, 3)
        return F.conv2d(F.pad(dense, (1, 1, 1, 1), mode="replicate"), kernel, stride=self.stride, groups=x.shape[1])


class StridedConvolution(Pool):
    """A learned, strided k x k convolution over all channels instead of a pooling."""

    label = Label("strided convolution", "pooling", "strided", "strided conv")

    def __init__(
        self, channels: int, kernel: int, stride: int, alignment: Alignment = "valid", border: Border = "outside"
    ):
        super().__init__(channels, kernel, stride, alignment, border)
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.padded(x), self.weight, self.bias, self.stride)  # (N, C, H', W')


class Subsampling(Pool):
    """gain_c times the sum of the window, plus bias_c; both are learned, the gain is initially 1 / k^2 (an average)."""

    label = Label("trainable subsampling", "pooling", "sub", "subsample")

    def __init__(
        self, channels: int, kernel: int, stride: int, alignment: Alignment = "valid", border: Border = "outside"
    ):
        super().__init__(channels, kernel, stride, alignment, border)
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 1 / self.kernel**2)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(self.padded(x), self.kernel, self.stride, divisor_override=1)  # (N, C, H', W')
        return total * self.weight[:, None, None] + self.bias[:, None, None]


def _gene(
    name: str, formula: str, source: str, make: Maker, parameters: str = "0", macs: str = "0", *aliases: str
) -> Gene:
    shape = "(N,C,n,n) -> (N,C,H,W) by the alignment"
    return Gene("pooling", name, formula, shape, parameters, macs, source, make, aliases)


GENES = (
    _gene("max", "max of the window", "Weng et al. 1992", MaxPool),
    _gene("average", "mean of the window", "LeCun et al. 1989", AveragePool),
    _gene("overlapping", "max, window one pixel wider than the stride", "Krizhevsky et al. 2012", OverlappingPool),
    _gene("l2", "sqrt(mean x^2)", "Sermanet et al. 2012", L2Pool),
    _gene(
        "stochastic",
        "training: x_i with probability x_i / sum x; in evaluation sum x^2 / sum x",
        "Zeiler & Fergus 2013",
        StochasticPool,
    ),
    _gene("mixed", "a max + (1 - a) mean, a learned", "Lee et al. 2016", MixedPool, parameters="1"),
    _gene("blurred", "blur(max)", "Zhang 2019", BlurredPool, macs="9*C*H*W"),
    _gene(
        "strided_convolution",
        "sum_c w_c x_c + b",
        "Springenberg et al. 2015",
        StridedConvolution,
        parameters="k*k*C*C + C",
        macs="k*k*C*C*H*W",
    ),
    _gene("subsampling", "gain_c sum x + bias_c", "LeCun et al. 1990, 1998", Subsampling, "2*C", "0", "trainable"),
)
