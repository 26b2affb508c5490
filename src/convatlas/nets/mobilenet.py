"""MobileNet: every 3 x 3 convolution split into a depthwise and a 1 x 1 one (Howard et al. 2017, table 1)."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.normalization import Norm
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Row:
    """(width, stride) of the thirteen blocks."""

    blocks: tuple[tuple[int, int], ...]
    norm: Norm = Norm()


class MobileNet(Net):
    """A strided stem, thirteen depthwise separable blocks, one dense layer.

    The stem is aligned as SAME, so odd and even photos differ; strided blocks always pad one pixel at the far side.
    """

    rows = {
        "mobilenet": Row(
            ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
        )
    }

    @staticmethod
    def published(row: Row) -> Genome:
        return Genome(convolution="depthwise", activation="relu6", dropout=1e-3)

    def __init__(self, row: Row, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(row, genome, classes, channels, size)
        self.stem = genome.unit(channels, 32, 3, 2, norm=row.norm, fixed=True)
        before = 32
        for number, (width, stride) in enumerate(row.blocks, 1):
            alignment = "same" if stride == 1 else (0, 1)
            block = chain(
                spatial=genome.unit(before, before, 3, stride, norm=row.norm, kind="depthwise", alignment=alignment),  # type: ignore[arg-type]
                pointwise=genome.unit(before, width, norm=row.norm),
                attention=genome.attend(width),
            )
            self.add_module(f"block{number}", block)
            before = width
        self.finish(genome, before, channels, size, classes)
