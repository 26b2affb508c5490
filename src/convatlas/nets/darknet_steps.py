"""Stages of darknet's nets: the steps that describe them, and the module for each step."""

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
from convatlas.genes.structural import Concat

NORM = Norm(eps=1e-6, momentum=0.01)
"""Darknet's constants; eps is added to the standard deviation."""


@dataclass(frozen=True)
class Conv:
    """A convolution, normalization and activation, padded by kernel // 2 pixels."""

    width: int
    kernel: int = 3
    stride: int = 1


@dataclass(frozen=True)
class Pool:
    """A pooling; padding, where needed, is below and to the right."""

    kernel: int = 2
    stride: int = 2


@dataclass(frozen=True)
class Residual:
    """A 1 x 1 convolution to half the width and a 3 x 3 convolution back to it, added to their input."""


@dataclass(frozen=True)
class Pyramid:
    """Spatial pyramid pooling: the map, concatenated with itself max-pooled by windows of several sizes."""

    kernels: tuple[int, ...]


@dataclass(frozen=True)
class Upsample:
    """Nearest-neighbour upsampling by 2."""


@dataclass(frozen=True)
class Reorg:
    """Darknet's reorganization of the map to half the height and width and four times the channels."""


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
        self.add = genome.join()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)  # (N, C, H, W)
        return y if self.add is None else self.add(x, y)


class SpatialPyramid(nn.Module):
    """The step `Pyramid`; (N, C, H, W) -> (N, (1 + kernels) C, H, W), the map itself last (He et al. 2014)."""

    def __init__(self, genome: Genome, width: int, kernels: tuple[int, ...]):
        super().__init__()
        self.pools = nn.ModuleList(genome.pool(width, kernel, 1, alignment="same") for kernel in kernels)
        self.concat = Concat()

    def forward(self, x: Tensor) -> Tensor:
        maps = [pool(x) for pool in self.pools]  # each (N, C, H, W)
        return self.concat(*maps, x)  # type: ignore[no-any-return]  # (N, (1 + kernels) C, H, W)


class Reorganize(nn.Module):
    """The step `Reorg`; (N, C, H, W) -> (N, 4 C, H / 2, W / 2), C a multiple of 4.

    Darknet reinterprets the memory of the map as C / 4 channels of 2 H x 2 W pixels, sets
    out[(2 a + b) C / 4 + c, i, j] = that[c, 2 i + a, 2 j + b], and reinterprets these C channels of H x W pixels as 4 C
    channels of H / 2 x W / 2. It is therefore not a pixel unshuffle: neighbours in the output are not neighbours in the
    input.
    """

    label = Label("reorganization", "skip")
    keeps_grid = False

    def forward(self, x: Tensor) -> Tensor:
        images, channels, height, width = x.shape  # (N, C, H, W)
        cells = x.reshape(images, channels // 4, height, 2, width, 2)  # (N, c, i, a, j, b)
        return cells.permute(0, 3, 5, 1, 2, 4).reshape(images, 4 * channels, height // 2, width // 2)


def conv(genome: Genome, channels: int, step: Conv, *, fixed: bool = False) -> nn.Sequential:
    """Return the module for the step `Conv`."""
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
    """Chain the modules for `steps`; return them and their number of output channels.

    Args:
        genome: Genes of the net.
        channels: Number of input channels.
        steps: Steps of the stage.
        classes: Number of classes, for `Boxes`.
        grid: Height and width of the map, for `Local`.
        depth_fractions: Depth of each residual block in the net, from 0 to 1.
        fixed: Whether the convolutions keep their kind whatever the genome says, as in stems.
    """
    modules, counts = nn.Sequential(), Counter[str]()
    for step in steps:
        name, module, channels = _module(genome, channels, step, classes, grid, depth_fractions, fixed)
        counts[name] += 1
        modules.add_module(f"{name}{counts[name]}", module)
    attention = genome.attend(channels) if all(isinstance(step, Conv | Pool) for step in steps) else None
    if attention is not None:
        modules.add_module("attention", attention)
    return modules, channels


def _module(
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
