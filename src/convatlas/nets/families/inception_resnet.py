"""Inception-ResNet v2: Inception blocks as residual branches (Szegedy et al. 2017, figures 15 to 19)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.pooling import Border
from convatlas.genes.structural import Scale
from convatlas.nets.inception_blocks import Branch, Branches, Conv, Pool, stem
from convatlas.nets.net import Net

Block = tuple[Branch, ...]

_MIXED_5B: Block = (
    (Conv(96),),
    (Conv(48), Conv(64, 5)),
    (Conv(64), Conv(96, 3), Conv(96, 3)),
    (Pool("average"), Conv(64)),
)
_BLOCK_35: Block = ((Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(48, 3), Conv(64, 3)))
_MIXED_6A: Block = ((Conv(384, 3, 2),), (Conv(256), Conv(256, 3), Conv(384, 3, 2)), (Pool("max", 2),))
_BLOCK_17: Block = ((Conv(192),), (Conv(128), Conv(160, (1, 7)), Conv(192, (7, 1))))
_MIXED_7A: Block = (
    (Conv(256), Conv(384, 3, 2)),
    (Conv(256), Conv(288, 3, 2)),
    (Conv(256), Conv(288, 3), Conv(320, 3, 2)),
    (Pool("max", 2),),
)
_BLOCK_8: Block = ((Conv(192),), (Conv(192), Conv(224, (1, 3)), Conv(256, (3, 1))))


@dataclass(frozen=True)
class Config:
    """The three stages, and what differs between lineages.

    Attributes:
        stages: (name, branches of the first block, branches of the residual blocks, their number and scale).
        norm: Settings of the normalization; the published net has no gain.
        average_border: Border of the average pooling: whether it counts the padding.
    """

    stages: tuple[tuple[str, Block, Block, int, float], ...]
    norm: Norm = Norm(gain=False)
    average_border: Border = "outside"


class Residual(nn.Module):
    """x + scale * conv(branches(x)), then an activation unless `last`; (N, C, H, W), same shape."""

    def __init__(
        self,
        config: Config,
        genome: Genome,
        channels: int,
        block: Block,
        scale: float,
        last: bool,
        depth_fraction: float,
    ):
        super().__init__()
        branches = Branches(genome, channels, block, config.norm)
        self.branch = chain(
            branches=branches,
            **genome.conv(branches.width, channels, 1, bias=True),
            attention=genome.attend(channels),
            scale=Scale(scale) if scale != 1 else None,
            drop=genome.drop_path(depth_fraction),
        )
        self.add = genome.join()
        self.act = None if last else genome.activate(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)  # (N, C, H, W)
        total: Tensor = y if self.add is None else self.add(x, y)
        return total if self.act is None else self.act(total)


class InceptionResNetV2(Net):
    """A stem, three stages of residual Inception blocks, a last 1 x 1 convolution, one dense layer.

    The last residual block has neither scale nor activation.
    """

    variants = {
        "inception_resnet_v2": Config(
            (
                ("block35", _MIXED_5B, _BLOCK_35, 10, 0.17),
                ("block17", _MIXED_6A, _BLOCK_17, 20, 0.10),
                ("block8", _MIXED_7A, _BLOCK_8, 10, 0.20),
            )
        )
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(pooling=PUBLISHED, skip="residual", dropout=0.2, stochastic_depth=0.0)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.stem = stem(genome, channels, config.norm)
        in_channels, done, total = 192, 0, sum(stage[3] for stage in config.stages)
        for name, opening, block, repeats, scale in config.stages:
            mixed = Branches(genome, in_channels, opening, config.norm, config.average_border)
            in_channels, stage = mixed.width, nn.Sequential()
            stage.add_module("mixed", mixed)
            for number in range(1, repeats + 1):
                last = done == total - 1
                residual = Residual(config, genome, in_channels, block, 1 if last else scale, last, done / (total - 1))
                stage.add_module(f"block{number}", residual)
                done += 1
            self.add_module(name, stage)
        self.conv_head = genome.conv_norm_act(in_channels, 1536, norm=config.norm)
        self.add_classifier(genome, 1536, channels, size, classes)
