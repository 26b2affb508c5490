"""Padding: the fill (what is put outside the map) and the alignment (how much on each side)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.gene import Gene
from convatlas.genes.label import Label

Alignment = Literal["valid", "same", "symmetric"] | tuple[int, int]
"""Padding for a window: none, TensorFlow's SAME, (kernel - 1) // 2 on both sides, or given amounts (before, after)."""

Fill = Literal["zeros", "reflect", "replicate", "circular"]

MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
"""Names of the fills in `torch.nn.functional.pad`."""

ALIGNMENTS = ("valid", "same", "symmetric")
"""Names of the alignments that `pad_amounts` knows; users may define further genes."""


def same_amounts(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the padding (before, after) of TensorFlow's SAME: ceil(size / stride) outputs, an odd pixel goes after.

    Source: the TensorFlow documentation of `tf.nn.convolution`.
    """
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def pad_amounts(x: Tensor, kernel: tuple[int, int], stride: int, alignment: Alignment) -> tuple[int, int, int, int]:
    """Return the padding (left, right, top, bottom) for a window `kernel` (height, width) over `x` (N, C, H, W)."""
    if alignment == "valid":
        return 0, 0, 0, 0
    if alignment == "same":
        return *same_amounts(x.shape[3], kernel[1], stride), *same_amounts(x.shape[2], kernel[0], stride)
    if alignment == "symmetric":
        return (kernel[1] - 1) // 2, (kernel[1] - 1) // 2, (kernel[0] - 1) // 2, (kernel[0] - 1) // 2
    before, after = alignment
    return before, after, before, after


class Pad(nn.Module):
    """Pad a map; (N, C, H, W) -> (N, C, H + top + bottom, W + left + right).

    Negative amounts crop. With the alignment `same` the amounts depend on the size of the input.
    """

    label = Label("padding", "padding")

    def __init__(self, alignment: Alignment, kernel: tuple[int, int] = (1, 1), stride: int = 1, fill: str = "zeros"):
        super().__init__()
        self.alignment, self.kernel, self.stride, self.fill = alignment, kernel, stride, fill

    def forward(self, x: Tensor) -> Tensor:
        border = pad_amounts(x, self.kernel, self.stride, self.alignment)
        return F.pad(x, border, mode=MODES[self.fill])  # (N, C, H + top + bottom, W + left + right)

    def extra_repr(self) -> str:
        return f"{self.alignment}, {self.fill}"


def _fill(name: str, formula: str, source: str) -> Gene:
    def make(alignment: Alignment, kernel: tuple[int, int] = (1, 1), stride: int = 1) -> Pad:
        return Pad(alignment, kernel, stride, name)

    return Gene("padding", name, formula, "(N,C,H,W) -> (N,C,H+p,W+p)", "0", "0", source, make)


def _alignment(name: str, formula: str, shape: str, source: str) -> Gene:
    def make(kernel: tuple[int, int] = (1, 1), stride: int = 1, fill: str = "zeros") -> Pad:
        return Pad(name, kernel, stride, fill)  # type: ignore[arg-type]

    return Gene("alignment", name, formula, shape, "0", "0", source, make)


GENES = (
    _fill("zeros", "x[i] = 0 outside", "LeCun et al. 1989"),
    _fill("reflect", "x[-i] = x[i]: mirrored at the edge pixel, which is not repeated", "numpy.pad, mode 'reflect'"),
    _fill("replicate", "x[-i] = x[0]: the edge pixel repeated", "numpy.pad, mode 'edge'"),
    _fill("circular", "x[-i] = x[n - i]: the map wraps around", "numpy.pad, mode 'wrap'"),
    _alignment("valid", "no padding", "n -> floor((n - k) / s) + 1", "TensorFlow, padding='VALID'"),
    _alignment("same", "ceil(n / s) outputs; an odd pixel goes after", "n -> ceil(n / s)", "TensorFlow 'SAME'"),
    _alignment("symmetric", "(k - 1) // 2 on both sides", "n -> floor((n - 1) / s) + 1 (k odd)", "Caffe, Torch"),
)
