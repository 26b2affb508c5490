"""AlexNet: five convolutions and three dense layers (Krizhevsky et al. 2012, section 3; one tower: Krizhevsky 2014)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.layers import Dense
from convatlas.genes.normalization import Norm
from convatlas.genes.padding import Alignment
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)
"""Settings for AlexNet with another normalization gene; the published one has constants of its own."""


@dataclass(frozen=True)
class Conv:
    """A convolution: output channels, kernel size, number of groups if several, whether a pooling follows."""

    width: int
    kernel: int
    groups: int | None = None
    pooled: bool = False


@dataclass(frozen=True)
class Config:
    """The five convolutions, and what differs between the two nets.

    Attributes:
        convolutions: The five convolutions; the first has stride 4.
        border: Padding of the first convolution.
        normalization: Normalization after the activations of the first two.
        drops_features: Whether the first dropout is before the first dense layer instead of after the second.
        grid: Height and width that the last map is averaged to, whatever the photo's size; None for no averaging.
    """

    convolutions: tuple[Conv, ...]
    border: Alignment
    normalization: str
    drops_features: bool = False
    grid: int | None = None


class AlexNet(Net):
    """Five convolutions, each with its activation, normalization (1, 2) and pooling (1, 2, 5); three dense layers.

    The paper says 224 pixels and 55 positions. In its program (cuda-convnet) the last windows extend beyond the photo
    and read zeros there, 227 pixels in all; a photo of 227 pixels leaves no zeros, so this net allows both readings.
    """

    variants = {
        "alexnet": Config(
            (
                Conv(96, 11, pooled=True),
                Conv(256, 5, groups=2, pooled=True),
                Conv(384, 3),
                Conv(384, 3, groups=2),
                Conv(256, 3, groups=2, pooled=True),
            ),
            border=(0, 3),
            normalization="local_response",
        ),
        "alexnet_one_tower": Config(
            (
                Conv(64, 11, pooled=True),
                Conv(192, 5, pooled=True),
                Conv(384, 3),
                Conv(256, 3),
                Conv(256, 3, pooled=True),
            ),
            border=(2, 2),
            normalization="none",
            drops_features=True,
            grid=6,
        ),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        grouped = any(conv.groups for conv in config.convolutions)
        return Genome(
            convolution=PUBLISHED if grouped else "dense",
            pooling="overlapping",
            flattening="flatten",
            normalization=config.normalization,
            dropout=0.5,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        in_channels = channels
        for number, step in enumerate(config.convolutions, 1):
            first, width = number == 1, step.width
            conv = genome.conv(
                in_channels,
                width,
                step.kernel,
                4 if first else 1,
                kind="grouped" if step.groups else "dense",
                groups=step.groups or 32,
                alignment=config.border if first else "same",
                bias=True,
                fixed=first,
            )
            block = chain(
                **conv,
                act=genome.activate(width),
                norm=genome.normalize(width, NORM) if number <= 2 else None,
                attention=genome.attend(width),
                pool=genome.pool(width, 3, 2) if step.pooled else None,
            )
            self.add_module(f"block{number}", block)
            in_channels = width
        if config.grid is not None:
            self.grid = nn.AdaptiveAvgPool2d(config.grid)
        flatten, features = self.make_flatten(genome, in_channels, channels, size)
        self.head = chain(
            flatten=flatten,
            drop=genome.drop() if config.drops_features else None,
            dense1=Dense(features, 4096),
            act1=genome.activate(4096),
            drop1=genome.drop(),
            dense2=Dense(4096, 4096),
            act2=genome.activate(4096),
            drop2=None if config.drops_features else genome.drop(),
            dense=Dense(4096, classes),
        )
