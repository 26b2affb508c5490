"""ResNet, version 1 (He et al. 2015, table 1) and version 2, pre-activated (He et al. 2016, figure 1b).

Version 1 also has variants with grouped convolutions (ResNeXt: Xie et al. 2017, table 1) and with
squeeze-and-excitation after each block's last normalization (SE-ResNet, SE-ResNeXt: Hu et al. 2018, table 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.pooling import Border, MaxPool
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """Blocks in each stage, and what differs between variants and lineages.

    Attributes:
        blocks: Number of blocks in conv2 to conv5.
        preactivated: Whether normalization and activation come before the convolutions (version 2).
        stride_in: Convolution of a bottleneck that has the stride in version 1, "first" (1 x 1) or "second" (3 x 3).
        bias: Whether convolutions before a normalization also have a bias.
        norm: Settings of the normalization.
        pool_border: Border of the stem's pooling; it matters only in version 2, whose stem has no ReLU before it.
        basic: Whether blocks have two 3 x 3 convolutions instead of a bottleneck (version 1).
        inner: Inner width of bottlenecks relative to ResNet's (version 1).
        convolution: Published convolution gene of the 3 x 3 convolutions.
        attention: Published attention gene, after each block's last normalization.
    """

    blocks: tuple[int, int, int, int]
    preactivated: bool = False
    stride_in: str = "first"
    bias: bool = True
    norm: Norm = Norm(eps=1.001e-5, momentum=0.01)
    pool_border: Border = "zeros"
    basic: bool = False
    inner: int = 1
    convolution: str = "dense"
    attention: str = "none"


TORCH = Config((3, 4, 6, 3), stride_in="second", bias=False, norm=Norm(eps=1e-5, momentum=0.1), pool_border="outside")
"""ResNet-50 with the conventions of PyTorch; the variants that Keras publishes have those of Keras."""


class Residual(nn.Module):
    """Sum of `convolutions` and a shortcut: (N, C, H, W) -> (N, out_channels, H / stride, W / stride).

    If the number of channels changes, the shortcut is a convolution (the review's convolution block), else the input
    itself (its identity block). With the gene `plain` there is no shortcut.
    """

    def __init__(
        self,
        config: Config,
        genome: Genome,
        channels: int,
        out_channels: int,
        stride: int,
        depth_fraction: float,
        convolutions: dict[str, nn.Module],
    ):
        super().__init__()
        add = genome.join()
        self.shortcut = (
            genome.conv_norm_act(channels, out_channels, 1, stride, norm=config.norm, act=False, bias=config.bias)
            if channels != out_channels and add is not None
            else None
        )
        attention, drop = genome.attend(out_channels), genome.drop_path(depth_fraction)
        self.branch = chain(**convolutions, attention=attention, drop=drop)
        self.add = add
        self.act = genome.activate(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.add is None:
            return self.act(self.branch(x))  # type: ignore[no-any-return]
        skip = x if self.shortcut is None else self.shortcut(x)  # (N, out_channels, H / stride, W / stride)
        return self.act(self.add(skip, self.branch(x)))  # type: ignore[no-any-return]


class Basic(Residual):
    """Two 3 x 3 convolutions; (N, C, H, W) -> (N, width, H / stride, W / stride)."""

    expansion: ClassVar[int] = 1

    def __init__(self, config: Config, genome: Genome, channels: int, width: int, stride: int, depth_fraction: float):
        norm, bias = config.norm, config.bias
        convolutions: dict[str, nn.Module] = {
            "conv1": genome.conv_norm_act(channels, width, 3, stride, norm=norm, bias=bias, alignment="symmetric"),
            "conv2": genome.conv_norm_act(width, width, 3, norm=norm, bias=bias, alignment="symmetric", act=False),
        }
        super().__init__(config, genome, channels, width, stride, depth_fraction, convolutions)


class Bottleneck(Residual):
    """1 x 1, 3 x 3 and 1 x 1 convolutions; (N, C, H, W) -> (N, 4 width, H / stride, W / stride)."""

    expansion: ClassVar[int] = 4

    def __init__(self, config: Config, genome: Genome, channels: int, width: int, stride: int, depth_fraction: float):
        norm, bias, inner, out_channels = config.norm, config.bias, config.inner * width, 4 * width
        first, second = (stride, 1) if config.stride_in == "first" else (1, stride)
        convolutions: dict[str, nn.Module] = {
            "conv1": genome.conv_norm_act(channels, inner, 1, first, norm=norm, bias=bias),
            "conv2": genome.conv_norm_act(inner, inner, 3, second, norm=norm, bias=bias, alignment="symmetric"),
            "conv3": genome.conv_norm_act(inner, out_channels, 1, norm=norm, bias=bias, act=False),
        }
        super().__init__(config, genome, channels, out_channels, stride, depth_fraction, convolutions)


class PreactivatedBottleneck(nn.Module):
    """The bottleneck of version 2; (N, C, H, W) -> (N, 4 width, H / stride, W / stride).

    A projection shortcut reads the pre-activated input; a strided identity shortcut takes every second pixel.
    """

    expansion: ClassVar[int] = 4

    def __init__(self, config: Config, genome: Genome, channels: int, width: int, stride: int, depth_fraction: float):
        super().__init__()
        norm, out_channels, add = config.norm, 4 * width, genome.join()
        projects, subsamples = add is not None and channels != out_channels, add is not None and stride > 1
        self.preact = chain(norm=genome.normalize(channels, norm), act=genome.activate(channels))
        self.project = chain(**genome.conv(channels, out_channels, 1, bias=True)) if projects else None
        self.subsample = MaxPool(channels, 1, stride) if subsamples else None
        self.branch = chain(
            conv1=genome.conv_norm_act(channels, width, 1, norm=norm),
            conv2=genome.conv_norm_act(width, width, 3, stride, norm=norm, alignment="symmetric"),
            conv3=chain(**genome.conv(width, out_channels, 1, bias=True)),
            attention=genome.attend(out_channels),
            drop=genome.drop_path(depth_fraction),
        )
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        active = self.preact(x)  # (N, C, H, W)
        if self.add is None:
            return self.branch(active)  # type: ignore[no-any-return]
        if self.project is not None:
            x = self.project(active)
        elif self.subsample is not None:
            x = self.subsample(x)
        return self.add(x, self.branch(active))  # type: ignore[no-any-return]


class ResNet(Net):
    """A 7 x 7 stem, four stages of blocks, one dense layer.

    Version 1 halves the map in the first block of every stage except conv2, version 2 in the last block of every stage
    except conv5.
    """

    variants = {
        "resnet18": replace(TORCH, blocks=(2, 2, 2, 2), basic=True),
        "resnet34": replace(TORCH, basic=True),
        "resnet50": Config((3, 4, 6, 3)),
        "resnet101": Config((3, 4, 23, 3)),
        "resnet152": Config((3, 8, 36, 3)),
        "resnet50_v2": Config((3, 4, 6, 3), preactivated=True),
        "resnet101_v2": Config((3, 4, 23, 3), preactivated=True),
        "resnet152_v2": Config((3, 8, 36, 3), preactivated=True),
        "se_resnet50": replace(TORCH, attention="squeeze_excitation"),
        "resnext50_32x4d": replace(TORCH, inner=2, convolution="grouped"),
        "se_resnext50_32x4d": replace(TORCH, inner=2, convolution="grouped", attention="squeeze_excitation"),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(
            convolution=config.convolution,
            alignment="symmetric",
            pooling="max",
            attention=config.attention,
            skip="residual",
            stochastic_depth=0.0,
        )

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        preact = config.preactivated
        conv = genome.conv(channels, 64, 7, 2, bias=preact or config.bias, alignment="symmetric", fixed=True)
        self.stem = chain(
            **conv,
            norm=None if preact else genome.normalize(64, config.norm),
            act=None if preact else genome.activate(64),
            pool=genome.pool(64, 3, 2, alignment="symmetric", border=config.pool_border),
        )
        block = PreactivatedBottleneck if preact else Basic if config.basic else Bottleneck
        in_channels, done, total = 64, 0, sum(config.blocks)
        for stage, count in enumerate(config.blocks):
            width, blocks = 64 * 2**stage, nn.Sequential()
            for number in range(1, count + 1):
                halves = (number == count and stage < 3) if preact else (number == 1 and stage > 0)
                depth_fraction = done / max(total - 1, 1)
                blocks.add_module(
                    f"block{number}", block(config, genome, in_channels, width, 2 if halves else 1, depth_fraction)
                )
                in_channels, done = block.expansion * width, done + 1
            self.add_module(f"conv{stage + 2}", blocks)
        if preact:
            self.post_norm = chain(norm=genome.normalize(in_channels, config.norm), act=genome.activate(in_channels))
        self.add_classifier(genome, in_channels, channels, size, classes)
