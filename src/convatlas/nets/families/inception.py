"""Inception v3: five kinds of blocks, with large kernels factored into small ones (Szegedy et al. 2016, table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.normalization import Norm, Standardize
from convatlas.genes.pooling import Border
from convatlas.nets.inception_blocks import Branch, Branches, Conv, Pool, Split, stem
from convatlas.nets.net import Net

Block = tuple[Branch, ...]

# From a photo x standardized by ImageNet's means m and deviations s to -1..1, (x s + m - 1/2) / (1/2), written as
# (x - MEAN) / sqrt(VARIANCE).
MEAN = tuple((0.5 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True))
VARIANCE = tuple((0.5 / std) ** 2 for std in (0.229, 0.224, 0.225))


def _block_35(pooled: int) -> Block:
    return (
        (Conv(64),),
        (Conv(48), Conv(64, 5)),
        (Conv(64), Conv(96, 3), Conv(96, 3)),
        (Pool("average"), Conv(pooled)),
    )


def _block_17(narrow: int) -> Block:
    row, column = (1, 7), (7, 1)
    return (
        (Conv(192),),
        (Conv(narrow), Conv(narrow, row), Conv(192, column)),
        (Conv(narrow), Conv(narrow, column), Conv(narrow, row), Conv(narrow, column), Conv(192, row)),
        (Pool("average"), Conv(192)),
    )


_TO_17: Block = ((Conv(384, 3, 2),), (Conv(64), Conv(96, 3), Conv(96, 3, 2)), (Pool("max", 2),))
_TO_8: Block = (
    (Conv(192), Conv(320, 3, 2)),
    (Conv(192), Conv(192, (1, 7)), Conv(192, (7, 1)), Conv(192, 3, 2)),
    (Pool("max", 2),),
)
_FORK = Split(((Conv(384, (1, 3)),), (Conv(384, (3, 1)),)))
_BLOCK_8: Block = (
    (Conv(320),),
    (Conv(384), _FORK),
    (Conv(448), Conv(384, 3), _FORK),
    (Pool("average"), Conv(192)),
)


@dataclass(frozen=True)
class Config:
    """The eleven blocks, `mixed0` to `mixed10`, and what differs between lineages.

    Attributes:
        blocks: Branches of each block.
        norm: Settings of the normalization; the published net has no gain.
        average_border: Border of the average poolings: whether they count the padding.
        preprocessing: Preprocessing inside the net: "imagenet" converts photos standardized by ImageNet's
            statistics to -1..1.
    """

    blocks: tuple[Block, ...]
    norm: Norm = Norm(gain=False)
    average_border: Border = "outside"
    preprocessing: Literal["nothing", "imagenet"] = "nothing"


class InceptionV3(Net):
    """A stem, three blocks on 35 x 35 maps, five on 17 x 17, three on 8 x 8, one dense layer."""

    variants = {
        "inception_v3": Config(
            (
                *(_block_35(pooled) for pooled in (32, 64, 64)),
                _TO_17,
                *(_block_17(narrow) for narrow in (128, 160, 160, 192)),
                _TO_8,
                _BLOCK_8,
                _BLOCK_8,
            )
        )
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(pooling=PUBLISHED, dropout=0.2)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        if config.preprocessing == "imagenet" and channels == 3:
            self.standardize = Standardize(MEAN, VARIANCE)
        self.stem = stem(genome, channels, config.norm)
        in_channels = 192
        for number, block in enumerate(config.blocks):
            branches = Branches(genome, in_channels, block, config.norm, config.average_border)
            in_channels = branches.width
            stage = nn.Sequential()
            stage.add_module("branches", branches)
            attention = genome.attend(in_channels)
            if attention is not None:
                stage.add_module("attention", attention)
            self.add_module(f"mixed{number}", stage)
        self.add_classifier(genome, in_channels, channels, size, classes)
