"""Neocognitron: S-cells that learn features, C-cells that tolerate shifts of them (Fukushima 1980).

It is the first convolutional net, trained without labels by `learn`. This is a reconstruction: sizes, equations,
constants and the learning rule are the paper's; the fixed connections, alpha, the padding (derived from the sizes) and
the training of one layer after the other are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.fukushima import CCells, Excitation, SCells, VCells
from convatlas.genes.gene import chain
from convatlas.genes.genome import PUBLISHED, Genome
from convatlas.genes.padding import Pad
from convatlas.nets.net import Net


@dataclass(frozen=True)
class LayerPair:
    """Hyperparameters of an S-layer and the C-layer after it.

    Attributes:
        s_border: Padding of the S-layer in pixels.
        c_border: Padding of the C-layer, negative to crop; None if its window is the whole S-plane.
        selectivity: r of the S-cells.
        learning_rate: q, the learning rate.
        column: Height and width of the columns of S-cells that compete.
    """

    s_border: int
    c_border: int | None
    selectivity: float
    learning_rate: float
    column: int


@dataclass(frozen=True)
class Config:
    """The pairs of layers, the number of planes in each layer, and the size of all windows."""

    pairs: tuple[LayerPair, ...]
    planes: int = 24
    kernel: int = 5


class SLayer(nn.Module):
    """S-cells, their excitation, and the V-cells that inhibit them; (N, C, H, W) -> (N, planes, H', W')."""

    counts_as_one = True

    def __init__(self, config: Config, pair: LayerPair, channels: int, planes: int):
        super().__init__()
        self.learning_rate, self.column = pair.learning_rate, pair.column
        self.pad = Pad((pair.s_border, pair.s_border))
        self.excite = Excitation(channels, planes, config.kernel)
        self.inhibit = VCells(channels, config.kernel)
        self.cells = SCells(planes, pair.selectivity)

    def forward(self, x: Tensor) -> Tensor:
        padded = self.pad(x)  # (N, C, H + 2 border, W + 2 border)
        return self.cells(self.excite(padded), self.inhibit(padded))  # type: ignore[no-any-return]

    def reinforce(self, x: Tensor) -> None:
        """Learn from one photo (1, C, H, W): in each plane its representative cell changes a by q c x and b by q v."""
        padded = self.pad(x)
        v, kernel = self.inhibit(padded), self.inhibit.kernel
        for plane, row, column in representatives(self.cells(self.excite(padded), v)[0], self.column):
            window = padded[0, :, row : row + kernel, column : column + kernel]
            self.excite.weight[plane] += self.learning_rate * self.inhibit.fixed[0] * window
            self.cells.weight[plane] += self.learning_rate * v[0, 0, row, column]


def representatives(u: Tensor, column: int) -> list[tuple[int, int, int]]:
    """Select the cells that learn, from the responses `u` (planes, H, W); return them as (plane, row, column).

    In each window of `column` x `column` positions the strongest cell of all planes is a candidate if it fires; in each
    plane the strongest candidate is selected.
    """
    width = u.shape[2]
    side = min(column, *u.shape[1:])
    _, strongest = F.max_pool2d(u.amax(0)[None], side, 1, return_indices=True)
    best: dict[int, tuple[float, int]] = {}
    for place in sorted(set(strongest.flatten().tolist())):
        response, plane = u.flatten(1)[:, place].max(0)
        if response > best.get(int(plane), (0.0, 0))[0]:
            best[int(plane)] = float(response), place
    return [(plane, place // width, place % width) for plane, (_, place) in best.items()]


class Neocognitron(Net):
    """Three pairs of an S-layer and a C-layer, 24 planes each; (N, C, 16, 16) -> (N, planes).

    The outputs are the responses of the last C-cells, one per plane, each in [0, 1): after `learn` a plane responds to
    one kind of pattern at any position. `classes` is the number of these planes.
    """

    variants = {
        "neocognitron": Config(
            (LayerPair(2, -1, 4.0, 1.0, 5), LayerPair(1, 1, 1.5, 16.0, 5), LayerPair(0, None, 1.5, 16.0, 2))
        )
    }

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome.bare(pooling=PUBLISHED)

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        (height, width), in_channels = size, channels
        for number, pair in enumerate(config.pairs, 1):
            planes = classes if number == len(config.pairs) else config.planes
            self.add_module(f"s{number}", SLayer(config, pair, in_channels, planes))
            shrunk = 2 * pair.s_border - config.kernel + 1
            height, width, in_channels = height + shrunk, width + shrunk, planes
            if pair.c_border is None:
                self.head = chain(cells=_pool(genome, planes, (height, width)), flatten=nn.Flatten())
            else:
                pad = Pad((pair.c_border, pair.c_border))
                pool = _pool(genome, planes, (config.kernel, config.kernel))
                self.add_module(f"c{number}", chain(pad=pad, cells=pool))
                shrunk = 2 * pair.c_border - config.kernel + 1
                height, width = height + shrunk, width + shrunk

    @torch.no_grad()
    def learn(self, images: Tensor, *, rounds: int = 20, seed: int = 0) -> None:
        """Train without labels: one S-layer after the other, on all images in each round, in a new random order.

        Args:
            images: Patterns (N, C, H, W) in 0..1, ink 1.
            rounds: Number of rounds; 20 in the paper.
            seed: Seed of the order.
        """
        order = torch.Generator().manual_seed(seed)
        x = images.to(next(self.parameters()))
        for stage in self.children():
            if isinstance(stage, SLayer):
                for _ in range(rounds):
                    for number in torch.randperm(len(x), generator=order).tolist():
                        stage.reinforce(x[number : number + 1])
            x = stage(x)


def _pool(genome: Genome, planes: int, kernel: tuple[int, int]) -> nn.Module:
    """Return the C-cells, or the pooling that the genome has instead."""
    if genome.pooling == PUBLISHED:
        return CCells(kernel)
    if kernel[0] != kernel[1]:
        raise ValueError(
            f"the last pooling must have a window of {kernel}, but only C-cells may have windows that are not square"
        )
    return genome.pool(planes, kernel[0], 1)
