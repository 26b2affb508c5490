"""ConvNeXt: a ResNet changed step by step towards a vision transformer (Liu et al. 2022, figure 4)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.layers import Convolution, Dense
from convatlas.genes.normalization import LayerNorm, Norm, Standardize
from convatlas.genes.structural import LayerScale
from convatlas.nets.net import Net

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Means and deviations of ImageNet's pixels in 0..255."""


@dataclass(frozen=True)
class Config:
    """Blocks and channels of the four stages, and what differs between lineages.

    Attributes:
        blocks: Number of blocks in each stage.
        widths: Channels of each stage.
        stochastic_depth: Rate of the last block in the paper's training.
        standardizes: Whether the net itself standardizes photos in 0..255.
        norm: Settings of the normalization.
    """

    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    stochastic_depth: float
    standardizes: bool = True
    norm: Norm = Norm(eps=1e-6, momentum=0.1)


class OneLayer(nn.Sequential):
    """Modules that are counted as one layer, as in the review's table."""

    counts_as_one = True


class Block(nn.Module):
    """7 x 7 depthwise, normalization, 1 x 1 to four times the width, activation, 1 x 1 back, layer scale, with a skip.

    (N, C, H, W), same shape. The paper writes the 1 x 1 convolutions as dense layers on maps with channels last, which
    is the same function. Here channels come second, so that any normalization or attention gene fits.
    """

    def __init__(self, config: Config, genome: Genome, width: int, depth_fraction: float):
        super().__init__()
        self.branch = chain(
            **genome.conv(width, width, 7, kind="depthwise", bias=True),
            norm=genome.normalize(width, config.norm, "layer"),
            expand=Convolution(width, 4 * width, 1),
            act=genome.activate(4 * width),
            project=Convolution(4 * width, width, 1),
            attention=genome.attend(width),
            scale=LayerScale(width),
            drop=genome.drop_path(depth_fraction),
        )
        self.add = genome.join()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)  # (N, C, H, W)
        return y if self.add is None else self.add(x, y)


class ConvNeXt(Net):
    """A stem of 4 x 4 patches, four stages with downsampling in between, one dense layer.

    The head normalizes by LayerNorm whatever the genome says, because its input is a vector, not a map.
    """

    variants = {
        "convnext_tiny": Config((3, 3, 9, 3), (96, 192, 384, 768), 0.1),
        "convnext_small": Config((3, 3, 27, 3), (96, 192, 384, 768), 0.4),
        "convnext_base": Config((3, 3, 27, 3), (128, 256, 512, 1024), 0.5),
        "convnext_large": Config((3, 3, 27, 3), (192, 384, 768, 1536), 0.5),
        "convnext_xlarge": Config((3, 3, 27, 3), (256, 512, 1024, 2048), 0.5),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(
            convolution="depthwise",
            alignment="same",
            normalization="layer",
            activation="gelu",
            skip="residual",
            stochastic_depth=config.stochastic_depth,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        if config.standardizes and channels == 3:
            self.standardize = Standardize(MEAN, [std**2 for std in DEVIATION])
        in_channels, done, total = channels, 0, sum(config.blocks)
        for number, (count, width) in enumerate(zip(config.blocks, config.widths, strict=True), 1):
            shrink = OneLayer()
            norm = genome.normalize(width if number == 1 else in_channels, config.norm, "layer")
            side = 4 if number == 1 else 2
            conv = chain(**genome.conv(in_channels, width, side, side, alignment="valid", bias=True, fixed=True))
            for name, module in (("conv", conv), ("norm", norm)) if number == 1 else (("norm", norm), ("conv", conv)):
                if module is not None:
                    shrink.add_module(name, module)
            self.add_module("stem" if number == 1 else f"downsample{number - 1}", shrink)
            stage = nn.Sequential()
            for block in range(1, count + 1):
                stage.add_module(f"block{block}", Block(config, genome, width, done / (total - 1)))
                done += 1
            self.add_module(f"stage{number}", stage)
            in_channels = width
        flatten, features = self.make_flatten(genome, in_channels, channels, size)
        self.head = chain(
            flatten=flatten,
            norm=LayerNorm(features, config.norm.eps),
            drop=genome.drop(),
            dense=Dense(features, classes),
        )
