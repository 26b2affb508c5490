"""Xception: Inception taken to its limit, depthwise separable convolutions with residuals (Chollet 2017, figure 5)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.padding import Alignment
from convatlas.genes.structural import Add
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Row:
    """Widths of the separable convolutions of each block; a block with a stride ends in a pooling.

    Attributes:
        blocks: (widths, stride) of block 2 to block 13.
        norm: The normalization's constants.
        pool_alignment: How the poolings meet the border.
    """

    blocks: tuple[tuple[tuple[int, ...], int], ...]
    norm: Norm = Norm()
    pool_alignment: Alignment = "same"


class Block(nn.Module):
    """Activation, separable convolution, normalization, for each width, beside a shortcut; strided ones pool last.

    (N, C, H, W) -> (N, widths[-1], ceil(H / stride), ceil(W / stride)). The first block has no activation in front.
    """

    def __init__(
        self, row: Row, genome: Genome, channels: int, widths: tuple[int, ...], stride: int, first: bool, share: float
    ):
        super().__init__()
        wide = widths[-1]
        self.shortcut = genome.unit(channels, wide, 1, stride, norm=row.norm, act=False) if stride > 1 else None
        self.branch = nn.Sequential()
        for number, width in enumerate(widths, 1):
            unit = chain(
                act=None if first and number == 1 else genome.activate(channels),
                **genome.convolve(channels, width, 3, kind="separable"),
                norm=genome.normalize(width, row.norm),
            )
            self.branch.add_module(f"unit{number}", unit)
            channels = width
        ends = {
            "attention": genome.attend(wide),
            "pool": genome.pool(wide, 3, stride, alignment=row.pool_alignment) if stride > 1 else None,
            "drop": genome.drop_path(share),
        }
        for name, module in ends.items():
            if module is not None:
                self.branch.add_module(name, module)
        self.add = Add()

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.shortcut is None else self.shortcut(x)
        return self.add(skip, self.branch(x))  # type: ignore[no-any-return]


class Xception(Net):
    """Entry flow (blocks 1 to 4), middle flow (5 to 12), exit flow (13 and 14), one dense layer."""

    rows = {
        "xception": Row(
            (
                ((128, 128), 2),
                ((256, 256), 2),
                ((728, 728), 2),
                *[((728, 728, 728), 1)] * 8,
                ((728, 1024), 2),
            )
        )
    }

    @staticmethod
    def published(row: Row) -> Genome:
        return Genome(convolution="separable", pooling="max", dropout=0.5, stochastic_depth=0.0)

    def __init__(self, row: Row, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(row, genome, classes, channels, size)
        norm = row.norm
        self.block1 = chain(
            conv1=genome.unit(channels, 32, 3, 2, norm=norm, alignment="valid", fixed=True),
            conv2=genome.unit(32, 64, 3, norm=norm, alignment="valid", fixed=True),
        )
        before = 64
        for number, (widths, stride) in enumerate(row.blocks):
            share = number / (len(row.blocks) - 1)
            self.add_module(f"block{number + 2}", Block(row, genome, before, widths, stride, number == 0, share))
            before = widths[-1]
        self.block14 = chain(
            conv1=genome.unit(before, 1536, 3, norm=norm, kind="separable"),
            conv2=genome.unit(1536, 2048, 3, norm=norm, kind="separable"),
        )
        self.finish(genome, 2048, channels, size, classes)
