"""NASNet-A: two cells found by search, stacked; each cell reads the previous two (Zoph et al. 2018, figure 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.normalization import Norm
from convatlas.genes.padding import Alignment, Pad
from convatlas.genes.pooling import AveragePool, Border
from convatlas.genes.structural import Add, Concat
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """Size of the net, NASNet-A (repeats @ penultimate), and what differs between lineages.

    Attributes:
        penultimate: Channels before the dense layer.
        repeats: Normal cells in each of the three stages.
        stem: Channels of the first convolution.
        skips_reduction: Whether the cell after a reduction reads the reduction's previous map instead of its input.
        norm: Settings of the normalization.
        pool_border: Border of the max poolings in reduction cells.
    """

    penultimate: int
    repeats: int
    stem: int
    skips_reduction: bool
    norm: Norm = Norm(momentum=0.0003)
    pool_border: Border = "zeros"


@dataclass(frozen=True)
class Shape:
    """Shape of a map that a cell reads: its channels, and how many times the photo was halved."""

    channels: int
    halvings: int


class Shrink(nn.Module):
    """Halve a map by two 1 x 1 convolutions, one of every second pixel, one of the pixels diagonally after them.

    (N, C, H, W) -> (N, width, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, config: Config, genome: Genome, channels: int, width: int):
        super().__init__()
        self.act = genome.activate(channels)
        self.even = chain(pick=AveragePool(channels, 1, 2), **genome.conv(channels, width // 2, 1))
        self.odd = chain(shift=Pad((-1, 1)), pick=AveragePool(channels, 1, 2), **genome.conv(channels, width // 2, 1))
        self.concat = Concat()
        self.norm = genome.normalize(width, config.norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(x)
        both: Tensor = self.concat(self.even(x), self.odd(x))  # (N, width, H / 2, W / 2)
        return both if self.norm is None else self.norm(both)


def _squeeze(config: Config, genome: Genome, channels: int, width: int) -> nn.Sequential:
    return chain(
        act=genome.activate(channels),
        **genome.conv(channels, width, 1),
        norm=genome.normalize(width, config.norm),
    )


def _separable(
    config: Config, genome: Genome, channels: int, width: int, kernel: int, stride: int = 1
) -> nn.Sequential:
    """Chain activation, separable convolution and normalization, twice; the first convolution has the stride."""
    modules: dict[str, nn.Module | None] = {}
    for number, (in_channels, step) in enumerate(((channels, stride), (width, 1)), 1):
        modules[f"act{number}"] = genome.activate(in_channels)
        conv = genome.conv(in_channels, width, kernel, step, kind="separable")
        modules |= {f"{name}{number}": module for name, module in conv.items()}
        modules[f"norm{number}"] = genome.normalize(width, config.norm)
    return chain(**modules)


class Cell(nn.Module):
    """Base of both cells: adjust the previous map to the cell's shape, squeeze the present one by 1 x 1."""

    def __init__(self, config: Config, genome: Genome, present: Shape, previous: Shape, width: int):
        super().__init__()
        if previous.halvings < present.halvings:
            self.adjust: nn.Module | None = Shrink(config, genome, previous.channels, width)
            self.previous_channels = width
        elif previous is not present and previous.channels != width:
            self.adjust = _squeeze(config, genome, previous.channels, width)
            self.previous_channels = width
        else:
            self.adjust, self.previous_channels = None, previous.channels
        self.squeeze = _squeeze(config, genome, present.channels, width)
        self.concat = Concat()

    def read(self, x: Tensor, previous: Tensor) -> tuple[Tensor, Tensor]:
        """Return the squeezed present map and the adjusted previous one."""
        previous = previous if self.adjust is None else self.adjust(previous)
        return self.squeeze(x), previous


class NormalCell(Cell):
    """Concatenate six maps of `width` channels (the first may have more), of the same size as the input."""

    def __init__(self, config: Config, genome: Genome, present: Shape, previous: Shape, width: int):
        super().__init__(config, genome, present, previous, width)
        previous_channels = self.previous_channels
        self.left1 = _separable(config, genome, width, width, 5)
        self.right1 = _separable(config, genome, previous_channels, width, 3)
        self.add1 = Add()
        self.left2 = _separable(config, genome, previous_channels, width, 5)
        self.right2 = _separable(config, genome, previous_channels, width, 3)
        self.add2 = Add()
        self.left3 = genome.pool(width, 3, 1, kind="average", alignment="same")
        self.add3 = Add()
        self.left4 = genome.pool(previous_channels, 3, 1, kind="average", alignment="same")
        self.right4 = genome.pool(previous_channels, 3, 1, kind="average", alignment="same")
        self.add4 = Add()
        self.left5 = _separable(config, genome, width, width, 3)
        self.add5 = Add()
        self.attention = genome.attend(previous_channels + 5 * width)
        self.shape = Shape(previous_channels + 5 * width, present.halvings)

    def forward(self, x: Tensor, previous: Tensor) -> Tensor:
        h, p = self.read(x, previous)  # (N, width, H, W), (N, previous_channels, H, W)
        x1 = self.add1(self.left1(h), self.right1(p))
        x2 = self.add2(self.left2(p), self.right2(p))
        x3 = self.add3(self.left3(h), p)
        x4 = self.add4(self.left4(p), self.right4(p))
        x5 = self.add5(self.left5(h), h)
        joined: Tensor = self.concat(p, x1, x2, x3, x4, x5)  # (N, previous_channels + 5 width, H, W)
        return joined if self.attention is None else self.attention(joined)


class ReductionCell(Cell):
    """Concatenate four maps of `width` channels and half the size; as published, poolings count padding as zeros."""

    def __init__(self, config: Config, genome: Genome, present: Shape, previous: Shape, width: int):
        super().__init__(config, genome, present, previous, width)
        previous_channels = self.previous_channels
        zeros = config.pool_border == "zeros"
        self.pad = genome.pad("same", 3, 2) if zeros else None
        alignment: Alignment = "valid" if zeros else "same"
        self.left1 = _separable(config, genome, width, width, 5, 2)
        self.right1 = _separable(config, genome, previous_channels, width, 7, 2)
        self.add1 = Add()
        self.left2 = genome.pool(width, 3, 2, alignment=alignment)
        self.right2 = _separable(config, genome, previous_channels, width, 7, 2)
        self.add2 = Add()
        # The average counts the padding as zeros even in lineages whose max poolings ignore it.
        self.left3 = genome.pool(width, 3, 2, kind="average", alignment=alignment, border="zeros")
        self.right3 = _separable(config, genome, previous_channels, width, 5, 2)
        self.add3 = Add()
        self.left4 = genome.pool(width, 3, 1, kind="average", alignment="same")
        self.add4 = Add()
        self.left5 = _separable(config, genome, width, width, 3)
        self.right5 = genome.pool(width, 3, 2, alignment=alignment)
        self.add5 = Add()
        self.attention = genome.attend(4 * width)
        self.shape = Shape(4 * width, present.halvings + 1)

    def forward(self, x: Tensor, previous: Tensor) -> Tensor:
        h, p = self.read(x, previous)
        padded = h if self.pad is None else self.pad(h)
        x1 = self.add1(self.left1(h), self.right1(p))
        x2 = self.add2(self.left2(padded), self.right2(p))
        x3 = self.add3(self.left3(padded), self.right3(p))
        x4 = self.add4(x2, self.left4(x1))
        x5 = self.add5(self.left5(x1), self.right5(padded))
        joined: Tensor = self.concat(x2, x3, x4, x5)  # (N, 4 width, H / 2, W / 2)
        return joined if self.attention is None else self.attention(joined)


class NASNet(Net):
    """A strided stem, two reduction cells, three stages of normal cells with reductions between, one dense layer."""

    variants = {
        "nasnet_mobile": Config(penultimate=1056, repeats=4, stem=32, skips_reduction=False),
        "nasnet_large": Config(penultimate=4032, repeats=6, stem=96, skips_reduction=True),
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome(convolution="separable", pooling=PUBLISHED, dropout=0.5)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.skips_reduction = config.skips_reduction
        self.stem = genome.conv_norm_act(
            channels, config.stem, 3, 2, norm=config.norm, act=False, alignment="valid", fixed=True
        )
        width = config.penultimate // 24
        plan: list[tuple[str, type[NormalCell] | type[ReductionCell], int]] = [
            ("stem1", ReductionCell, width // 4),
            ("stem2", ReductionCell, width // 2),
        ]
        for stage in range(3):
            if stage:
                plan.append((f"reduction{stage}", ReductionCell, width * 2**stage))
            plan += [(f"stage{stage + 1}_cell{n}", NormalCell, width * 2**stage) for n in range(1, config.repeats + 1)]
        present = previous = Shape(config.stem, 0)
        for name, kind, cell_width in plan:
            cell = kind(config, genome, present, previous, cell_width)
            self.add_module(name, cell)
            if not self._reads_past(name):
                previous = present
            present = cell.shape
        self.act = genome.activate(present.channels)
        self.add_classifier(genome, present.channels, channels, size, classes)

    def _reads_past(self, name: str) -> bool:
        return self.skips_reduction and name.startswith("reduction")

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        previous = None
        for name, stage in self.named_children():
            if isinstance(stage, Cell):
                y = stage(x, x if previous is None else previous)
                if not self._reads_past(name):
                    previous = x
                x = y
            else:
                x = stage(x)
            yield name, x
