"""Cognitron: local cells that learn when they fire more strongly than all around them (Fukushima 1975).

Reconstructed from the paper's rule and equations: "the synapse from x to y is reinforced when x fires provided that no
neuron in the vicinity of y is firing stronger than y". The sizes, 12 x 12 cells in every layer and windows of 5 x 5,
are as they are told of the paper's simulation; the constants are ours. Every cell has weights of its own, so what is
learned in one place is not known in another: that is what the neocognitron added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.genes.fukushima import Lateral, LocalCells
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.nets.net import Net


@dataclass(frozen=True)
class Config:
    """What the layers have in common.

    Attributes:
        layers: How many, beside the input.
        kernel: Side of the window that a cell reads.
        vicinity: Side of the window in which cells compete.
        speed: q, how much the strongest cell learns.
        slow: q', how much all cells learn where none fires.
    """

    layers: int = 3
    kernel: int = 5
    vicinity: int = 3
    speed: float = 16.0
    slow: float = 2.0


class Cognitron(Net):
    """Three layers of as many cells as the photo has pixels; the last has `classes`, in a grid as square as can be.

    (N, C, H, W) -> (N, classes): the responses of the last layer's cells, in rows.
    """

    variants = {"cognitron": Config()}

    @staticmethod
    def default_genome(config: Config) -> Genome:
        return Genome.bare()

    def __init__(self, config: Config, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__(config, genome, classes, channels, size)
        self.config = config
        high = max(side for side in range(1, math.isqrt(classes) + 1) if classes % side == 0)
        for number in range(1, config.layers + 1):
            last = number == config.layers
            grid = (high, classes // high) if last else size
            layer = chain(
                cells=LocalCells(channels if number == 1 else 1, size, grid, config.kernel),
                lateral=Lateral(config.vicinity),
                flatten=nn.Flatten() if last else None,
            )
            self.add_module("head" if last else f"layer{number}", layer)

    @torch.no_grad()
    def learn(self, images: Tensor, *, rounds: int = 20, seed: int = 0) -> None:
        """Self-organization: every layer in turn is shown all images, in an order drawn anew in each round.

        A cell that fires and is the strongest of its vicinity learns: a += q c x, b += q sum(c x^2) / (2 v), so that
        it will give 1 to what it has seen often. Where no cell of a vicinity fires, all learn a little: a += q' c x,
        b += q' v.

        Args:
            images: Patterns (N, C, H, W), in 0..1, ink 1.
            rounds: How often each is shown.
            seed: Of the order.
        """
        order = torch.Generator().manual_seed(seed)
        x = images.to(next(self.parameters()))
        for layer in self.children():
            for _ in range(rounds):
                for number in torch.randperm(len(x), generator=order).tolist():
                    self._reinforce(layer.cells, x[number : number + 1])  # type: ignore[arg-type]
            x = layer(x)

    def _reinforce(self, cells: LocalCells, x: Tensor) -> None:
        u = cells(x)
        around = F.max_pool2d(u, self.config.vicinity, 1, self.config.vicinity // 2)
        wins, silent = ((u == around) & (u > 0)).flatten(), (around == 0).flatten()
        seen = cells.windows(x)[0].T  # (cells, inputs)
        v = seen @ cells.fixed
        square = seen.square() @ cells.fixed
        # A cell that sees nothing has nothing to learn.
        won = self.config.speed * wins * (v > 0)
        idle = self.config.slow * silent
        cells.weight.add_((won + idle)[:, None] * cells.fixed * seen)
        cells.inhibition.add_(won * square / (2 * v).clamp_min(1e-12) + idle * v)
