"""DenseNet: each layer reads the maps of all earlier layers in its block (Huang et al. 2017, table 1)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.layers import Convolution
from convatlas.genes.normalization import Norm
from convatlas.genes.pooling import Border
from convatlas.genes.structural import Concat
from convatlas.nets.net import Net

GROWTH = 32
"""Channels that each layer adds."""


@dataclass(frozen=True)
class Config:
    """Number of layers in each of the four dense blocks, and what differs between lineages.

    Attributes:
        layers: Number of layers in each block.
        norm: Settings of the normalization.
        pool_border: Border of the stem's pooling; after a ReLU both borders give the same result.
    """

    layers: tuple[int, int, int, int]
    norm: Norm = Norm(eps=1.001e-5, momentum=0.01)
    pool_border: Border = "zeros"


class DenseLayer(nn.Module):
    """The input and 32 new channels made by a 1 x 1 and a 3 x 3 convolution; (N, C, H, W) -> (N, C + 32, H, W)."""

    def __init__(self, config: Config, genome: Genome, channels: int):
        super().__init__()
        bottleneck = 4 * GROWTH
        self.branch = chain(
            norm1=genome.normalize(channels, config.norm),
            act1=genome.activate(channels),
            conv1=Convolution(channels, bottleneck, 1, bias=False),
            norm2=genome.normalize(bottleneck, config.norm),
            act2=genome.activate(bottleneck),
            **{
                f"{name}2": module for name, module in genome.conv(bottleneck, GROWTH, 3, alignment="symmetric").items()
            },
        )
        self.concat = Concat()

    def forward(self, x: Tensor) -> Tensor:
        return self.concat(x, self.branch(x))  # type: ignore[no-any-return]  # (N, C + 32, H, W)


class DenseNet(Net):
    """A 7 x 7 stem, four dense blocks with transitions in between that halve map and channels, one dense layer."""

    variants = {
        "densenet121": Config((6, 12, 24, 16)),
        "densenet169": Config((6, 12, 32, 32)),
        "densenet201": Config((6, 12, 48, 32)),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(alignment="symmetric", pooling=PUBLISHED)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.stem = chain(
            **genome.conv(channels, 64, 7, 2, alignment="symmetric", fixed=True),
            norm=genome.normalize(64, config.norm),
            act=genome.activate(64),
            pool=genome.pool(64, 3, 2, alignment="symmetric", border=config.pool_border),
        )
        in_channels = 64
        for number, count in enumerate(config.layers, 1):
            block = nn.Sequential()
            for layer in range(1, count + 1):
                block.add_module(f"layer{layer}", DenseLayer(config, genome, in_channels))
                in_channels += GROWTH
            attention = genome.attend(in_channels)
            if attention is not None:
                block.add_module("attention", attention)
            self.add_module(f"dense{number}", block)
            if number < len(config.layers):
                transition = chain(
                    norm=genome.normalize(in_channels, config.norm),
                    act=genome.activate(in_channels),
                    conv=Convolution(in_channels, in_channels // 2, 1, bias=False),
                    pool=genome.pool(in_channels // 2, 2, 2, kind="average"),
                )
                self.add_module(f"transition{number}", transition)
                in_channels //= 2
        self.post_norm = chain(norm=genome.normalize(in_channels, config.norm), act=genome.activate(in_channels))
        self.add_classifier(genome, in_channels, channels, size, classes)
