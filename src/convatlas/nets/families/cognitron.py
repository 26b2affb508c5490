"""Cognitron: cells with local connections that learn when they fire most strongly in their vicinity (Fukushima 1975).

This is a reconstruction from the paper's rule and equations: "the synapse from x to y is reinforced when x fires
provided that no neuron in the vicinity of y is firing stronger than y". The sizes, 12 x 12 cells in every layer and
windows of 5 x 5, are those reported for the paper's simulation; the constants are ours. Cells do not share weights, so
what is learned at one position is not known at others: sharing is what the neocognitron added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.fukushima import CognitronCells, LateralInhibition
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """Hyperparameters of all layers.

    Attributes:
        layers: Number of layers above the input.
        kernel: Size of the window that a cell reads.
        vicinity: Size of the window in which cells compete.
        learning_rate: q, the learning rate of the strongest cell.
        idle_rate: q', the learning rate of all cells in a vicinity where none fires.
    """

    layers: int = 3
    kernel: int = 5
    vicinity: int = 3
    learning_rate: float = 16.0
    idle_rate: float = 2.0


class Cognitron(Net):
    """Three layers, each with one cell per pixel, except the last: `classes` cells in a grid as square as possible.

    (N, C, H, W) -> (N, classes): the responses of the last layer's cells, row by row.
    """

    variants = {"cognitron": Config()}

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome.bare()

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.config = config
        rows = max(side for side in range(1, math.isqrt(classes) + 1) if classes % side == 0)
        for number in range(1, config.layers + 1):
            last = number == config.layers
            grid = (rows, classes // rows) if last else size
            layer = chain(
                cells=CognitronCells(channels if number == 1 else 1, size, grid, config.kernel),
                lateral=LateralInhibition(config.vicinity),
                flatten=nn.Flatten() if last else None,
            )
            self.add_module("head" if last else f"layer{number}", layer)

    @torch.no_grad()
    def learn(self, images: Tensor, *, rounds: int = 20, seed: int = 0) -> None:
        """Train without labels: layer by layer, on all images in each round, in a new random order.

        A cell that fires most strongly in its vicinity learns: a += q c x, b += q sum(c x^2) / (2 v), so that its
        response to frequent patterns approaches 1. In a vicinity where no cell fires, all cells learn, at a smaller
        rate: a += q' c x, b += q' v.

        Args:
            images: Patterns (N, C, H, W) in 0..1, ink 1.
            rounds: Number of rounds.
            seed: Seed of the order.
        """
        order = torch.Generator().manual_seed(seed)
        x = images.to(next(self.parameters()))
        for layer in self.children():
            for _ in range(rounds):
                for number in torch.randperm(len(x), generator=order).tolist():
                    self._reinforce(layer.cells, x[number : number + 1])  # type: ignore[arg-type]
            x = layer(x)

    def _reinforce(self, cells: CognitronCells, x: Tensor) -> None:
        u = cells(x)
        around = F.max_pool2d(u, self.config.vicinity, 1, self.config.vicinity // 2)
        wins, silent = ((u == around) & (u > 0)).flatten(), (around == 0).flatten()
        inputs = cells.windows(x)[0].T  # (cells, inputs)
        v = inputs @ cells.fixed
        square = inputs.square() @ cells.fixed
        # A cell whose inputs are all 0 learns nothing.
        won = self.config.learning_rate * wins * (v > 0)
        idle = self.config.idle_rate * silent
        cells.weight.add_((won + idle)[:, None] * cells.fixed * inputs)
        cells.inhibition.add_(won * square / (2 * v).clamp_min(1e-12) + idle * v)
