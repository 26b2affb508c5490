"""Inception-v1, GoogLeNet: nine blocks of four branches, two auxiliary heads for training (Szegedy et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm, Standardize
from convatlas.genes.pooling import AveragePool
from convatlas.nets.families.inception import MEAN, VARIANCE
from convatlas.nets.inception_blocks import Branch, Branches, Conv, Pool
from convatlas.nets.net import Net

TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels in the paper's table 1: 1 x 1; 3 x 3 reduce, 3 x 3; 5 x 5 reduce, 5 x 5; 1 x 1 after the pooling."""

AUXILIARY = {"4a": "aux1", "4d": "aux2"}
"""Names of the auxiliary heads, by the block that each reads."""


def _block(
    single: int, reduce3: int, three: int, reduce5: int, five: int, pooled: int, large_kernel: int
) -> tuple[Branch, ...]:
    return (
        (Conv(single),),
        (Conv(reduce3), Conv(three, 3)),
        (Conv(reduce5), Conv(five, large_kernel)),
        (Pool("max"), Conv(pooled)),
    )


@dataclass(frozen=True)
class Config:
    """What differs between the published net and the one with batch normalization.

    Attributes:
        norm: Settings of the batch normalization; without it (None) convolutions have biases, and the stem has local
            response normalization with the constants of Caffe's net, because the paper gives none.
        large_kernel: Kernel size in the branch of 5 x 5 convolutions.
        last_pool: Window size of the last pooling.
        grid: Height and width that the auxiliary heads average their map to; None for 5 x 5 windows with stride 3.
        dropout: Rate before the last layer.
        preprocessing: Preprocessing inside the net: "imagenet" converts photos standardized by ImageNet's
            statistics to -1..1.
    """

    norm: Norm | None = None
    large_kernel: int = 5
    last_pool: int = 3
    grid: int | None = None
    dropout: float = 0.4
    preprocessing: Literal["nothing", "imagenet"] = "nothing"


class InceptionV1(Net):
    """A stem, nine blocks with poolings before the third and the eighth, one dense layer.

    With the gene `auxiliary` = "heads", `outputs` also has "aux1" and "aux2" in training; in evaluation these heads do
    not run. Strided poolings are padded at the end if their last window would be incomplete (Caffe rounds up).
    """

    variants = {
        "inception_v1": Config(),
        "googlenet_bn": Config(norm=Norm(eps=1e-3, momentum=0.1), large_kernel=3, last_pool=2, grid=4, dropout=0.2),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        normalization = "batch" if config.norm else "local_response_caffe"
        return Genome(pooling="max", normalization=normalization, auxiliary="none", dropout=config.dropout)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        norm, bias = config.norm, config.norm is None
        if config.preprocessing == "imagenet" and channels == 3:
            self.standardize = Standardize(MEAN, VARIANCE)
        self.stem = chain(
            conv1=genome.conv_norm_act(channels, 64, 7, 2, norm=norm, bias=bias, alignment="symmetric", fixed=True),
            pool1=genome.pool(64, 3, 2, alignment=(0, 1)),
            norm1=genome.normalize(64, Norm()) if bias else None,
            conv2=genome.conv_norm_act(64, 64, norm=norm, bias=bias),
            conv3=genome.conv_norm_act(64, 192, 3, norm=norm, bias=bias),
            norm2=genome.normalize(192, Norm()) if bias else None,
            pool2=genome.pool(192, 3, 2, alignment=(0, 1)),
        )
        in_channels = 192
        for name, widths in TABLE.items():
            if name in ("4a", "5a"):
                side = config.last_pool if name == "5a" else 3
                self.add_module(f"pool{int(name[0]) - 1}", genome.pool(in_channels, side, 2, alignment=(0, 1)))
            branches = Branches(genome, in_channels, _block(*widths, config.large_kernel), norm)
            in_channels = branches.width
            self.add_module(f"inception{name}", chain(branches=branches, attention=genome.attend(in_channels)))
            if name in AUXILIARY and genome.has_auxiliary_heads():
                self.add_module(AUXILIARY[name], self._auxiliary(config, genome, in_channels, classes, channels, size))
                self.loss_weights = {**self.loss_weights, AUXILIARY[name]: 0.3}
        self.add_classifier(genome, in_channels, channels, size, classes)

    def _auxiliary(
        self, config: Config, genome: Genome, width: int, classes: int, channels: int, size: tuple[int, int]
    ) -> nn.Module:
        """Return an auxiliary head for the last stage's map of `width` channels; (N, width, H, W) -> (N, classes)."""
        head = chain(
            pool=AveragePool(width, 5, 3) if config.grid is None else nn.AdaptiveAvgPool2d(config.grid),
            reduce=genome.conv_norm_act(width, 128, norm=config.norm, bias=config.norm is None),
            flatten=nn.Flatten(),
        )
        with torch.device("meta"), torch.no_grad():
            *_, (_, x) = self.iter_stages(torch.empty(2, channels, *size))
            features = head(x).shape[1]
        head.add_module("classify", genome.auxiliary_head(features, classes))
        return head

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Run the stages one by one, yielding name and output of each; auxiliary heads run in training only."""
        for name, stage in self.named_children():
            if name not in self.loss_weights:
                x = stage(x)
                yield name, x
            elif self.training:
                yield name, stage(x)
