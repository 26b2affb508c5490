"""MobileNet: every 3 x 3 convolution split into a depthwise and a 1 x 1 one (Howard et al. 2017, table 1)."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.padding import Alignment
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """The blocks, and what differs between lineages.

    Attributes:
        blocks: (output channels, stride) of the thirteen blocks.
        norm: Settings of the normalization.
        alignments: Padding of the stem and of the strided blocks.
    """

    blocks: tuple[tuple[int, int], ...]
    norm: Norm = Norm()
    alignments: tuple[Alignment, Alignment] = ("same", (0, 1))


class MobileNet(Net):
    """A strided stem, thirteen depthwise separable blocks, one dense layer.

    As published, the padding of the stem is SAME, that of strided blocks one pixel at the end.
    """

    variants = {
        "mobilenet": Config(
            ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
        )
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(convolution="depthwise", activation="relu6", dropout=1e-3)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.stem = genome.conv_norm_act(
            channels, 32, 3, 2, norm=config.norm, alignment=config.alignments[0], fixed=True
        )
        in_channels = 32
        for number, (width, stride) in enumerate(config.blocks, 1):
            alignment: Alignment = "same" if stride == 1 else config.alignments[1]
            block = chain(
                spatial=genome.conv_norm_act(
                    in_channels, in_channels, 3, stride, norm=config.norm, kind="depthwise", alignment=alignment
                ),
                pointwise=genome.conv_norm_act(in_channels, width, norm=config.norm),
                attention=genome.attend(width),
            )
            self.add_module(f"block{number}", block)
            in_channels = width
        self.add_classifier(genome, in_channels, channels, size, classes)
