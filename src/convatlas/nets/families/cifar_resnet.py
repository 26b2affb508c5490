"""The small ResNets of 6n + 2 layers (He et al. 2015, section 4.2), for studies of training rather than for use.

Shortcuts have no weights (the paper's option A): where a block halves the map and doubles its channels, they skip every
second pixel and append zeros. So the plain nets, without shortcuts, have as many weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.pooling import MaxPool
from convatlas.genes.structural import ZeroChannels
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)


@dataclass(frozen=True)
class Config:
    """Depth and width.

    Attributes:
        blocks: Number of blocks in each of the three stages, the paper's n.
        width: Channels of the first stage; the paper's nets have 16.
    """

    blocks: int
    width: int = 16


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut; (N, C, H, W) -> (N, width, H / stride, W / stride)."""

    def __init__(self, genome: Genome, channels: int, width: int, stride: int, depth_fraction: float):
        super().__init__()
        add = genome.join()
        widens = add is not None and channels != width
        self.shortcut = (
            chain(subsample=MaxPool(channels, 1, stride), zeros=ZeroChannels(width - channels)) if widens else None
        )
        self.branch = chain(
            conv1=genome.conv_norm_act(channels, width, 3, stride, norm=NORM, alignment="symmetric"),
            conv2=genome.conv_norm_act(width, width, 3, norm=NORM, alignment="symmetric", act=False),
            attention=genome.attend(width),
            drop=genome.drop_path(depth_fraction),
        )
        self.add = add
        self.act = genome.activate(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.add is None:
            return self.act(self.branch(x))  # type: ignore[no-any-return]
        skip = x if self.shortcut is None else self.shortcut(x)  # (N, width, H / stride, W / stride)
        return self.act(self.add(skip, self.branch(x)))  # type: ignore[no-any-return]


class CifarResNet(Net):
    """A 3 x 3 convolution, three stages of blocks on maps that are halved twice, one dense layer."""

    variants = {
        "resnet8": Config(1),
        "resnet20": Config(3),
        "resnet56": Config(9),
        "resnet8_w8": Config(1, 8),
        "resnet20_w8": Config(3, 8),
        "resnet56_w8": Config(9, 8),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(alignment="symmetric", skip="residual", stochastic_depth=0.0)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        in_channels, done = config.width, 0
        self.stem = genome.conv_norm_act(channels, in_channels, 3, norm=NORM, alignment="symmetric", fixed=True)
        for stage in range(3):
            width, blocks = config.width * 2**stage, nn.Sequential()
            for number in range(1, config.blocks + 1):
                stride = 2 if number == 1 and stage > 0 else 1
                depth_fraction = done / (3 * config.blocks - 1)
                blocks.add_module(f"block{number}", Block(genome, in_channels, width, stride, depth_fraction))
                in_channels, done = width, done + 1
            self.add_module(f"conv{stage + 2}", blocks)
        self.add_classifier(genome, in_channels, channels, size, classes)
