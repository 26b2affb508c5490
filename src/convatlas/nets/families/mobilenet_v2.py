"""MobileNetV2: inverted residuals, wide inside and narrow at their linear ends (Sandler et al. 2018, table 2)."""

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
    """The paper's table, and what differs between lineages.

    Attributes:
        stages: (expansion, output channels, repeats, stride) of each stage.
        norm: Settings of the normalization.
        alignment: Padding of the 3 x 3 convolutions.
    """

    stages: tuple[tuple[int, int, int, int], ...]
    norm: Norm = Norm(momentum=0.001)
    alignment: Alignment = "same"


class InvertedResidual(nn.Module):
    """1 x 1 expansion, 3 x 3 depthwise convolution, linear 1 x 1 projection, with a skip if the shape stays.

    (N, C, H, W) -> (N, width, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        config: Config,
        genome: Genome,
        channels: int,
        width: int,
        expansion: int,
        stride: int,
        depth_fraction: float,
    ):
        super().__init__()
        norm, expanded, skips = config.norm, channels * expansion, stride == 1 and channels == width
        self.branch = chain(
            expand=genome.conv_norm_act(channels, expanded, norm=norm) if expansion > 1 else None,
            spatial=genome.conv_norm_act(
                expanded, expanded, 3, stride, norm=norm, kind="depthwise", alignment=config.alignment
            ),
            project=genome.conv_norm_act(expanded, width, norm=norm, act=False),
            attention=genome.attend(width),
            drop=genome.drop_path(depth_fraction) if skips else None,
        )
        self.add = genome.join() if skips else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)  # (N, width, H / stride, W / stride)
        return y if self.add is None else self.add(x, y)


class MobileNetV2(Net):
    """A strided stem, seven stages of inverted residuals, a 1 x 1 convolution to 1280 channels, one dense layer."""

    variants = {
        "mobilenet_v2": Config(
            (
                (1, 16, 1, 1),
                (6, 24, 2, 2),
                (6, 32, 3, 2),
                (6, 64, 4, 2),
                (6, 96, 3, 1),
                (6, 160, 3, 2),
                (6, 320, 1, 1),
            )
        )
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(convolution="depthwise", activation="relu6", skip="residual", dropout=0.2, stochastic_depth=0.0)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.stem = genome.conv_norm_act(channels, 32, 3, 2, norm=config.norm, alignment=config.alignment, fixed=True)
        in_channels, done, total = 32, 0, sum(stage[2] for stage in config.stages)
        for number, (expansion, width, repeats, stride) in enumerate(config.stages, 1):
            stage = nn.Sequential()
            for block in range(1, repeats + 1):
                module = InvertedResidual(
                    config, genome, in_channels, width, expansion, stride if block == 1 else 1, done / (total - 1)
                )
                stage.add_module(f"block{block}", module)
                in_channels, done = width, done + 1
            self.add_module(f"stage{number}", stage)
        self.conv_head = genome.conv_norm_act(in_channels, 1280, norm=config.norm)
        self.add_classifier(genome, 1280, channels, size, classes)
