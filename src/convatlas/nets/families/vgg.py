"""VGG: stacks of 3 x 3 convolutions, a pooling after each (Simonyan & Zisserman 2015, table 1, columns D and E)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.layers import Dense
from convatlas.genes.normalization import Norm
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)
"""Settings for VGG with a normalization gene; the published net has no normalization."""


@dataclass(frozen=True)
class Config:
    """Number of convolutions in each of the five blocks."""

    convolutions: tuple[int, int, int, int, int]


class VGG(Net):
    """Five blocks of convolutions, each ending in a pooling, then three dense layers."""

    variants = {"vgg16": Config((2, 2, 3, 3, 3)), "vgg19": Config((2, 2, 4, 4, 4))}

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(pooling="max", flattening="flatten", normalization="none", dropout=0.5)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        in_channels = channels
        for number, (count, width) in enumerate(zip(config.convolutions, (64, 128, 256, 512, 512), strict=True), 1):
            block = nn.Sequential()
            for conv in range(1, count + 1):
                unit = genome.conv_norm_act(
                    in_channels, width, 3, norm=NORM, normalization="none", bias=True, fixed=number == conv == 1
                )
                block.add_module(f"conv{conv}", unit)
                in_channels = width
            attention = genome.attend(width)
            if attention is not None:
                block.add_module("attention", attention)
            block.add_module("pool", genome.pool(width, 2, 2))
            self.add_module(f"block{number}", block)
        flatten, features = self.make_flatten(genome, in_channels, channels, size)
        self.head = chain(
            flatten=flatten,
            dense1=Dense(features, 4096),
            act1=genome.activate(4096),
            drop1=genome.drop(),
            dense2=Dense(4096, 4096),
            act2=genome.activate(4096),
            drop2=genome.drop(),
            dense=Dense(4096, classes),
        )
