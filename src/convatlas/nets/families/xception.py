"""Xception: Inception taken to its limit, depthwise separable convolutions with residuals (Chollet 2017, figure 5)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.padding import Alignment
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """The blocks, and what differs between lineages.

    Attributes:
        blocks: (channels of the separable convolutions, stride) of blocks 2 to 13; a strided block ends in a pooling.
        norm: Settings of the normalization.
        pool_alignment: Padding of the poolings.
    """

    blocks: tuple[tuple[tuple[int, ...], int], ...]
    norm: Norm = Norm()
    pool_alignment: Alignment = "same"


class Block(nn.Module):
    """Activation, separable convolution and normalization for each of `widths`, beside a shortcut.

    (N, C, H, W) -> (N, widths[-1], ceil(H / stride), ceil(W / stride)). A strided block ends in a pooling,
    and the first block does not begin with an activation.
    """

    def __init__(
        self,
        config: Config,
        genome: Genome,
        channels: int,
        widths: tuple[int, ...],
        stride: int,
        first: bool,
        depth_fraction: float,
    ):
        super().__init__()
        out_channels = widths[-1]
        add = genome.join()
        self.shortcut = (
            genome.conv_norm_act(channels, out_channels, 1, stride, norm=config.norm, act=False)
            if stride > 1 and add is not None
            else None
        )
        self.branch = nn.Sequential()
        for number, width in enumerate(widths, 1):
            unit = chain(
                act=None if first and number == 1 else genome.activate(channels),
                **genome.conv(channels, width, 3, kind="separable"),
                norm=genome.normalize(width, config.norm),
            )
            self.branch.add_module(f"unit{number}", unit)
            channels = width
        ends = {
            "attention": genome.attend(out_channels),
            "pool": genome.pool(out_channels, 3, stride, alignment=config.pool_alignment) if stride > 1 else None,
            "drop": genome.drop_path(depth_fraction),
        }
        for name, module in ends.items():
            if module is not None:
                self.branch.add_module(name, module)
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        if self.add is None:
            return self.branch(x)  # type: ignore[no-any-return]
        skip = x if self.shortcut is None else self.shortcut(x)  # (N, widths[-1], H / stride, W / stride)
        return self.add(skip, self.branch(x))  # type: ignore[no-any-return]


class Xception(Net):
    """Entry flow (blocks 1 to 4), middle flow (5 to 12), exit flow (13 and 14), one dense layer."""

    variants = {
        "xception": Config(
            (
                ((128, 128), 2),
                ((256, 256), 2),
                ((728, 728), 2),
                *[((728, 728, 728), 1)] * 8,
                ((728, 1024), 2),
            )
        )
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(convolution="separable", pooling="max", skip="residual", dropout=0.5, stochastic_depth=0.0)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        norm = config.norm
        self.block1 = chain(
            conv1=genome.conv_norm_act(channels, 32, 3, 2, norm=norm, alignment="valid", fixed=True),
            conv2=genome.conv_norm_act(32, 64, 3, norm=norm, alignment="valid", fixed=True),
        )
        in_channels = 64
        for number, (widths, stride) in enumerate(config.blocks):
            depth_fraction = number / (len(config.blocks) - 1)
            self.add_module(
                f"block{number + 2}", Block(config, genome, in_channels, widths, stride, number == 0, depth_fraction)
            )
            in_channels = widths[-1]
        self.block14 = chain(
            conv1=genome.conv_norm_act(in_channels, 1536, 3, norm=norm, kind="separable"),
            conv2=genome.conv_norm_act(1536, 2048, 3, norm=norm, kind="separable"),
        )
        self.add_classifier(genome, 2048, channels, size, classes)
