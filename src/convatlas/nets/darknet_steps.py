"""How darknet's nets are written down: stages made of steps, and the module that each step becomes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.label import Label
from convatlas.genes.layers import Convolution
from convatlas.genes.local import LocallyConnected
from convatlas.genes.normalization import Norm
from convatlas.genes.structural import Add, Concat

NORM = Norm(eps=1e-6, momentum=0.01)
"""Darknet's constants; eps is added to the deviation."""


@dataclass(frozen=True)
class Conv:
    """A convolution, normalization and activation; k // 2 pixels of border."""

    width: int
    kernel: int = 3
    stride: int = 1


@dataclass(frozen=True)
class Pool:
    """A pooling; where it does not fit or does not stride, the border lies below and to the right."""

    kernel: int = 2
    stride: int = 2


@dataclass(frozen=True)
class Residual:
    """A 1 x 1 convolution to half the width and a 3 x 3 one back, added to their input."""


@dataclass(frozen=True)
class Pyramid:
    """The map beside its poolings by several windows (spatial pyramid pooling)."""

    kernels: tuple[int, ...]


@dataclass(frozen=True)
class Upsample:
    """Every pixel becomes 2 x 2."""


@dataclass(frozen=True)
class Reorg:
    """Every 2 x 2 pixels become one of four times the channels."""


@dataclass(frozen=True)
class Local:
    """A locally connected layer and its activation."""

    width: int
    kernel: int = 3


@dataclass(frozen=True)
class Boxes:
    """A 1 x 1 convolution to 5 + classes numbers for each of the anchors (width, height, in pixels)."""

    anchors: tuple[tuple[float, float], ...]
    stride: int = 32


Step = Conv | Pool | Residual | Pyramid | Upsample | Reorg | Local | Boxes


class ResidualBlock(nn.Module):
    """The step `Residual`; (N, C, H, W), same shape. Nothing is activated after the sum (Redmon & Farhadi 2018)."""

    def __init__(self, genome: Genome, width: int, depth_fraction: float):
        super().__init__()
        self.branch = chain(
            conv1=conv(genome, width, Conv(width // 2, 1)),
            conv2=conv(genome, width // 2, Conv(width)),
            attention=genome.attend(width),
            drop=genome.drop_path(depth_fraction),
        )
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        return self.add(x, self.branch(x))  # type: ignore[no-any-return]


class SpatialPyramid(nn.Module):
    """The step `Pyramid`; (N, C, H, W) -> (N, (1 + kernels) C, H, W), the map itself last (He et al. 2014)."""

    def __init__(self, genome: Genome, width: int, kernels: tuple[int, ...]):
        super().__init__()
        self.pools = nn.ModuleList(genome.pool(width, kernel, 1, alignment="same") for kernel in kernels)
        self.concat = Concat()

    def forward(self, x: Tensor) -> Tensor:
        return self.concat(*(pool(x) for pool in self.pools), x)  # type: ignore[no-any-return]


class Reorganize(nn.Module):
    """The step `Reorg`; (N, C, H, W) -> (N, 4 C, H / 2, W / 2), C a multiple of 4.

    Darknet takes the numbers of the map, in their order in memory, for a map of C / 4 channels and 2 H x 2 W pixels:
    out[(2 a + b) C / 4 + c, i, j] = that[c, 2 i + a, 2 j + b], and takes the C channels of H x W pixels that come out
    for 4 C channels of H / 2 x W / 2. So this is no pixel unshuffle: neighbours in the result are none in the photo.
    """

    label = Label("reorganization", "skip")
    keeps_grid = False

    def forward(self, x: Tensor) -> Tensor:
        images, channels, height, width = x.shape
        cells = x.reshape(images, channels // 4, height, 2, width, 2)  # (N, c, i, a, j, b)
        return cells.permute(0, 3, 5, 1, 2, 4).reshape(images, 4 * channels, height // 2, width // 2)


def conv(genome: Genome, channels: int, step: Conv, *, fixed: bool = False) -> nn.Sequential:
    """The module of the step `Conv`."""
    return genome.conv_norm_act(
        channels, step.width, step.kernel, step.stride, norm=NORM, alignment="symmetric", fixed=fixed
    )


def stage(
    genome: Genome,
    channels: int,
    steps: tuple[Step, ...],
    *,
    classes: int = 0,
    grid: tuple[int, int] = (1, 1),
    depth_fractions: Iterator[float] | None = None,
    fixed: bool = False,
) -> tuple[nn.Sequential, int]:
    """The modules of `steps` one after the other, and the channels that come out.

    Args:
        genome: Which genes.
        channels: That go in.
        steps: Which.
        classes: For `Boxes`.
        grid: Height and width of the map, for `Local`.
        depth_fractions: How deep each residual lies, from 0 to 1.
        fixed: Whether the convolutions keep their kind whatever the genome says, as stems do.
    """
    made, counts = nn.Sequential(), Counter[str]()
    for step in steps:
        name, module, channels = _made(genome, channels, step, classes, grid, depth_fractions, fixed)
        counts[name] += 1
        made.add_module(f"{name}{counts[name]}", module)
    attention = genome.attend(channels) if all(isinstance(step, Conv | Pool) for step in steps) else None
    if attention is not None:
        made.add_module("attention", attention)
    return made, channels


def _made(
    genome: Genome,
    channels: int,
    step: Step,
    classes: int,
    grid: tuple[int, int],
    depth_fractions: Iterator[float] | None,
    fixed: bool,
) -> tuple[str, nn.Module, int]:
    match step:
        case Conv(width):
            return "conv", conv(genome, channels, step, fixed=fixed), width
        case Pool(kernel, stride):
            return "pool", genome.pool(channels, kernel, stride, alignment="same"), channels
        case Residual():
            return "block", ResidualBlock(genome, channels, next(depth_fractions) if depth_fractions else 0.0), channels
        case Pyramid(kernels):
            return "pyramid", SpatialPyramid(genome, channels, kernels), channels * (1 + len(kernels))
        case Upsample():
            return "upsample", nn.Upsample(scale_factor=2), channels
        case Reorg():
            return "reorg", Reorganize(), 4 * channels
        case Local(width, kernel):
            local = chain(local=LocallyConnected(channels, width, kernel, grid), act=genome.activate(width))
            return "local", local, width
        case Boxes(anchors):
            outputs = len(anchors) * (5 + classes)
            return "boxes", chain(conv=Convolution(channels, outputs, 1)), outputs
