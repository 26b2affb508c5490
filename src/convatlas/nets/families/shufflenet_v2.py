"""ShuffleNetV2: half of the channels bypass each unit, then both halves are shuffled (Ma et al. 2018, table 5)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.structural import Concat, Shuffle, Slice
from convatlas.nets.net import Net

NORM = Norm(eps=1e-5, momentum=0.1)
STEM = 24
"""Channels of the stem."""

REPEATS = (4, 8, 4)
"""Units in each stage."""


@dataclass(frozen=True)
class Config:
    """Channels of each of the three stages, and of the last convolution."""

    widths: tuple[int, int, int]
    last: int = 1024


class Unit(nn.Module):
    """1 x 1, 3 x 3 depthwise and 1 x 1 convolutions of half of the channels; (N, width, H, W), same shape.

    A strided unit has convolutions in both paths, each of all channels: (N, C, H, W) -> (N, width, H / 2, W / 2).
    """

    def __init__(self, genome: Genome, channels: int, width: int, stride: int):
        super().__init__()
        half = width // 2
        self.skip: nn.Module = Slice(0, half)
        self.work = Slice(half, width) if stride == 1 else None
        if stride > 1:
            self.skip = chain(
                spatial=_spatial(genome, channels, stride), pointwise=genome.conv_norm_act(channels, half, norm=NORM)
            )
        self.branch = chain(
            pointwise1=genome.conv_norm_act(half if stride == 1 else channels, half, norm=NORM),
            spatial=_spatial(genome, half, stride),
            pointwise2=genome.conv_norm_act(half, half, norm=NORM),
            attention=genome.attend(half),
        )
        self.concat = Concat()
        self.shuffle = Shuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.work is None else self.work(x)  # (N, width / 2, H, W), or (N, C, H, W) in a strided unit
        return self.shuffle(self.concat(self.skip(x), self.branch(y)))  # type: ignore[no-any-return]


def _spatial(genome: Genome, channels: int, stride: int) -> nn.Module:
    return genome.conv_norm_act(
        channels, channels, 3, stride, norm=NORM, act=False, kind="depthwise", alignment="symmetric"
    )


class ShuffleNetV2(Net):
    """A strided stem, three stages of units, a 1 x 1 convolution, one dense layer."""

    variants = {
        "shufflenet_v2_x0_5": Config((48, 96, 192)),
        "shufflenet_v2_x1_0": Config((116, 232, 464)),
        "shufflenet_v2_x1_5": Config((176, 352, 704)),
        "shufflenet_v2_x2_0": Config((244, 488, 976), last=2048),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(convolution="depthwise", pooling="max")

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        conv = genome.conv(channels, STEM, 3, 2, alignment="symmetric", fixed=True)
        self.stem = chain(
            **conv,
            norm=genome.normalize(STEM, NORM),
            act=genome.activate(STEM),
            pool=genome.pool(STEM, 3, 2, alignment="symmetric"),
        )
        in_channels = STEM
        for number, (width, repeats) in enumerate(zip(config.widths, REPEATS, strict=True), 2):
            stage = nn.Sequential()
            for unit in range(1, repeats + 1):
                stage.add_module(f"unit{unit}", Unit(genome, in_channels, width, 2 if unit == 1 else 1))
                in_channels = width
            self.add_module(f"stage{number}", stage)
        self.conv_head = genome.conv_norm_act(in_channels, config.last, norm=NORM)
        self.add_classifier(genome, config.last, channels, size, classes)
