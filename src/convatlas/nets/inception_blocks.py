"""Inception blocks: parallel branches, each a sequence of steps, and their concatenated outputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.padding import Alignment
from convatlas.genes.pooling import Border
from convatlas.genes.structural import Concat


@dataclass(frozen=True)
class Conv:
    """A convolution, normalization and activation; a strided convolution is not padded."""

    width: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1


@dataclass(frozen=True)
class Pool:
    """A 3 x 3 pooling; a strided pooling is not padded."""

    kind: str
    stride: int = 1


@dataclass(frozen=True)
class Split:
    """A step that is itself a set of branches."""

    branches: tuple[tuple[Conv, ...], ...]


Branch = tuple[Conv | Pool | Split, ...]


class Branches(nn.Module):
    """Run branches on one input and concatenate their outputs; (N, C, H, W) -> (N, width, H', W').

    Without a normalization (`norm` None) the convolutions have biases.
    """

    def __init__(
        self,
        genome: Genome,
        channels: int,
        branches: tuple[Branch, ...],
        norm: Norm | None,
        average_border: Border = "outside",
    ):
        super().__init__()
        self.branches = nn.ModuleList()
        self.width = 0
        for steps in branches:
            branch, in_channels = nn.Sequential(), channels
            for number, step in enumerate(steps, 1):
                if isinstance(step, Conv):
                    name, module = f"conv{number}", conv(genome, in_channels, step, norm)
                    in_channels = step.width
                elif isinstance(step, Pool):
                    border: Border = average_border if step.kind == "average" else "outside"
                    alignment: Alignment = "valid" if step.stride > 1 else "same"
                    name = "pool"
                    module = genome.pool(
                        in_channels, 3, step.stride, kind=step.kind, alignment=alignment, border=border
                    )
                else:
                    name, split = "split", Branches(genome, in_channels, step.branches, norm)
                    module, in_channels = split, split.width
                branch.add_module(name, module)
            self.branches.append(branch)
            self.width += in_channels
        self.concat = Concat()

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(x) for branch in self.branches]  # each (N, C_i, H', W')
        return self.concat(*maps)  # type: ignore[no-any-return]  # (N, sum C_i, H', W')


def conv(
    genome: Genome, channels: int, step: Conv, norm: Norm | None, *, valid: bool = False, fixed: bool = False
) -> nn.Module:
    """Return the module for the step `Conv`; with `valid` it is not padded."""
    alignment: Alignment = "valid" if valid or step.stride > 1 else "same"
    return genome.conv_norm_act(
        channels,
        step.width,
        step.kernel,
        step.stride,
        norm=norm,
        alignment=alignment,
        bias=norm is None,
        fixed=fixed,
    )


def stem(genome: Genome, channels: int, norm: Norm) -> nn.Sequential:
    """Return the stem of Inception v3 and Inception-ResNet v2; (N, channels, 299, 299) -> (N, 192, 35, 35)."""
    steps = (
        ("conv1", Conv(32, 3, 2), True),
        ("conv2", Conv(32, 3), True),
        ("conv3", Conv(64, 3), False),
        ("pool1", None, True),
        ("conv4", Conv(80), True),
        ("conv5", Conv(192, 3), True),
        ("pool2", None, True),
    )
    sequence, in_channels = nn.Sequential(), channels
    for name, step, valid in steps:
        if step is None:
            sequence.add_module(name, genome.pool(in_channels, 3, 2))
        else:
            sequence.add_module(name, conv(genome, in_channels, step, norm, valid=valid, fixed=name == "conv1"))
            in_channels = step.width
    return sequence
