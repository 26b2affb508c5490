"""EfficientNet: one net scaled in depth, width and resolution together (Tan & Le 2019, table 1).

Its second version has fused blocks (Tan & Le 2021, table 4), the Lite nets no squeeze-and-excitation (Liu 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.normalization import Norm, Rescale, Standardize
from convatlas.nets.net import Net

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Stage:
    """A row of the paper's table: whether blocks are fused, expansion, kernel size, stride, channels, layers."""

    fused: bool
    expansion: int
    kernel: int
    stride: int
    width: int
    layers: int


B = (
    Stage(False, 1, 3, 1, 16, 1),
    Stage(False, 6, 3, 2, 24, 2),
    Stage(False, 6, 5, 2, 40, 2),
    Stage(False, 6, 3, 2, 80, 3),
    Stage(False, 6, 5, 1, 112, 3),
    Stage(False, 6, 5, 2, 192, 4),
    Stage(False, 6, 3, 1, 320, 1),
)
V2_B = (
    Stage(True, 1, 3, 1, 16, 1),
    Stage(True, 4, 3, 2, 32, 2),
    Stage(True, 4, 3, 2, 48, 2),
    Stage(False, 4, 3, 2, 96, 3),
    Stage(False, 6, 3, 1, 112, 5),
    Stage(False, 6, 3, 2, 192, 8),
)
V2_S = (
    Stage(True, 1, 3, 1, 24, 2),
    Stage(True, 4, 3, 2, 48, 4),
    Stage(True, 4, 3, 2, 64, 4),
    Stage(False, 4, 3, 2, 128, 6),
    Stage(False, 6, 3, 1, 160, 9),
    Stage(False, 6, 3, 2, 256, 15),
)
V2_M = (
    Stage(True, 1, 3, 1, 24, 3),
    Stage(True, 4, 3, 2, 48, 5),
    Stage(True, 4, 3, 2, 80, 5),
    Stage(False, 4, 3, 2, 160, 7),
    Stage(False, 6, 3, 1, 176, 14),
    Stage(False, 6, 3, 2, 304, 18),
    Stage(False, 6, 3, 1, 512, 5),
)
V2_L = (
    Stage(True, 1, 3, 1, 32, 4),
    Stage(True, 4, 3, 2, 64, 7),
    Stage(True, 4, 3, 2, 96, 7),
    Stage(False, 4, 3, 2, 192, 10),
    Stage(False, 6, 3, 1, 224, 19),
    Stage(False, 6, 3, 2, 384, 25),
    Stage(False, 6, 3, 1, 640, 7),
)


@dataclass(frozen=True)
class Config:
    """A table of stages, and how it is scaled.

    Attributes:
        stages: The table before scaling.
        width: Factor for all channels, which are then rounded to a multiple of 8.
        depth: Factor for the number of layers of each stage, which is then rounded up.
        dropout: Rate before the dense layer.
        version: 1, 2, or "lite", which does not scale the stem, the head and the layers of the first and last stage,
            and lacks squeeze-and-excitation.
        preprocessing: Preprocessing inside the net: "learned" standardizes by statistics that are part of the weights;
            "rescaled" then also divides by the square roots of ImageNet's deviations; "constants" standardizes by
            ImageNet's statistics; "symmetric" is x / 128 - 1; "nothing". All but "nothing" expect pixels in 0..255.
        stem: Channels of the stem before scaling.
        norm: Settings of the normalization.
        alignment: Padding of the convolutions.
    """

    stages: tuple[Stage, ...]
    width: float
    depth: float
    dropout: float
    version: Literal[1, 2, "lite"] = 1
    preprocessing: Literal["learned", "rescaled", "constants", "symmetric", "nothing"] = "learned"
    stem: int = 32
    norm: Norm = Norm()
    alignment: Literal["same", "symmetric"] = "same"

    def channels(self, published: int) -> int:
        """Scale `published` channels to the nearest multiple of 8, in version 1 never to less than nine tenths."""
        scaled = published * self.width
        rounded = max(8, int(scaled + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * scaled and self.version != 2 else rounded

    def scaled(self) -> tuple[int, tuple[Stage, ...], int]:
        """Return the channels of the stem, the stages, and the channels of the last convolution, all scaled."""
        lite = self.version == "lite"
        stages = tuple(
            replace(
                stage,
                width=self.channels(stage.width),
                layers=stage.layers
                if lite and stage in (self.stages[0], self.stages[-1])
                else math.ceil(self.depth * stage.layers),
            )
            for stage in self.stages
        )
        return (32, stages, 1280) if lite else (self.channels(self.stem), stages, self.channels(1280))


def _v2(stages: tuple[Stage, ...], width: float = 1.0, depth: float = 1.0) -> Config:
    norm = Norm(momentum=0.1)
    if stages is V2_B:
        return Config(stages, width, depth, 0.2, 2, "constants", norm=norm)
    return Config(stages, width, depth, 0.2, 2, "symmetric", stem=stages[0].width, norm=norm)


class MBConv(nn.Module):
    """An inverted residual block; if fused, one dense convolution replaces its first two convolutions.

    (N, C, H, W) -> (N, width, ceil(H / stride), ceil(W / stride)), with a skip if the shape stays.
    """

    def __init__(self, config: Config, genome: Genome, channels: int, stage: Stage, stride: int, depth_fraction: float):
        super().__init__()
        norm, expanded, expands = config.norm, channels * stage.expansion, stage.expansion > 1
        skips = stride == 1 and channels == stage.width
        squeezes = config.version != "lite" and not stage.fused
        attention = genome.attend(expanded, max(1, channels // 4), "squeeze_excitation" if squeezes else "none")
        if stage.fused:
            kernels = stage.kernel, 1 if expands else stage.kernel
            strides = stride, 1 if expands else stride
            first = genome.conv_norm_act(channels, expanded, kernels[0], strides[0], norm=norm) if expands else None
            spatial = None
            project = genome.conv_norm_act(expanded, stage.width, kernels[1], strides[1], norm=norm, act=not expands)
        else:
            first = genome.conv_norm_act(channels, expanded, norm=norm) if expands else None
            spatial = genome.conv_norm_act(expanded, expanded, stage.kernel, stride, norm=norm, kind="depthwise")
            project = genome.conv_norm_act(expanded, stage.width, norm=norm, act=False)
        self.branch = chain(
            expand=first,
            spatial=spatial,
            attention=attention,
            project=project,
            drop=genome.drop_path(depth_fraction) if skips else None,
        )
        self.add = genome.join() if skips else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)  # (N, width, H / stride, W / stride)
        return y if self.add is None else self.add(x, y)


class EfficientNet(Net):
    """A strided stem, stages of inverted residuals, a 1 x 1 convolution, one dense layer.

    The stem begins with the preprocessing that is part of the published net.
    """

    variants = {
        "efficientnet_b0": Config(B, 1.0, 1.0, 0.2),
        "efficientnet_b1": Config(B, 1.0, 1.1, 0.2),
        "efficientnet_b2": Config(B, 1.1, 1.2, 0.3),
        "efficientnet_b3": Config(B, 1.2, 1.4, 0.3),
        "efficientnet_b4": Config(B, 1.4, 1.8, 0.4),
        "efficientnet_b5": Config(B, 1.6, 2.2, 0.4),
        "efficientnet_b6": Config(B, 1.8, 2.6, 0.5),
        "efficientnet_b7": Config(B, 2.0, 3.1, 0.5),
        "efficientnetv2_b0": _v2(V2_B),
        "efficientnetv2_b1": _v2(V2_B, 1.0, 1.1),
        "efficientnetv2_b2": _v2(V2_B, 1.1, 1.2),
        "efficientnetv2_b3": _v2(V2_B, 1.2, 1.4),
        "efficientnetv2_s": _v2(V2_S),
        "efficientnetv2_m": _v2(V2_M),
        "efficientnetv2_l": _v2(V2_L),
        "efficientnet_lite0": Config(B, 1.0, 1.0, 0.2, "lite", "nothing"),
        "efficientnet_lite1": Config(B, 1.0, 1.1, 0.2, "lite", "nothing"),
        "efficientnet_lite2": Config(B, 1.1, 1.2, 0.3, "lite", "nothing"),
        "efficientnet_lite3": Config(B, 1.2, 1.4, 0.3, "lite", "nothing"),
        "efficientnet_lite4": Config(B, 1.4, 1.8, 0.3, "lite", "nothing"),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        kinds = {
            1: ("depthwise", "squeeze_excitation", "silu"),
            2: (PUBLISHED, PUBLISHED, "silu"),
            "lite": ("depthwise", "none", "relu6"),
        }
        convolution, attention, activation = kinds[config.version]
        return Genome(
            convolution=convolution,
            alignment=config.alignment,
            activation=activation,
            attention=attention,
            skip="residual",
            dropout=config.dropout,
            stochastic_depth=0.2,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        in_channels, stages, last = config.scaled()
        self.stem = chain(
            **_preprocessing(config, channels),
            **genome.conv(channels, in_channels, 3, 2, fixed=True),
            norm=genome.normalize(in_channels, config.norm),
            act=genome.activate(in_channels),
        )
        done, total = 0, sum(stage.layers for stage in stages)
        for number, stage in enumerate(stages, 1):
            blocks = nn.Sequential()
            for block in range(1, stage.layers + 1):
                module = MBConv(config, genome, in_channels, stage, stage.stride if block == 1 else 1, done / total)
                blocks.add_module(f"block{block}", module)
                in_channels, done = stage.width, done + 1
            self.add_module(f"stage{number}", blocks)
        self.conv_head = genome.conv_norm_act(in_channels, last, norm=config.norm)
        self.add_classifier(genome, last, channels, size, classes)


def _preprocessing(config: Config, channels: int) -> dict[str, nn.Module]:
    """Return the preprocessing modules between the photo and the stem."""
    if config.preprocessing == "nothing":
        return {}
    if config.preprocessing in ("learned", "rescaled"):
        learned = {"rescale": Rescale(1 / 255), "standardize": Standardize([0.0] * channels, [1.0] * channels, True)}
        if config.preprocessing == "learned":
            return learned
        deviations = [sum(DEVIATION) / 3] if channels == 1 else [DEVIATION[channel % 3] for channel in range(channels)]
        # `Standardize` divides by the square root of what is given as the variance, as Keras' net does.
        return {**learned, "rescale_again": Standardize([0.0] * channels, deviations)}
    if config.preprocessing == "constants" and channels == 3:
        return {"rescale": Rescale(1 / 255), "standardize": Standardize(MEAN, [std**2 for std in DEVIATION])}
    return {"rescale": Rescale(1 / 128, -1)}
