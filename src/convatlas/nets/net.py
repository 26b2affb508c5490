"""What every net of the atlas is: named stages in a row, a head, a card, a genome."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.layers import Dense

if TYPE_CHECKING:
    from convatlas.catalogue.cards import Card


class Net(nn.Module):
    """A net whose children are its stages, run one after the other; the last one is called `head`.

    (N, C, H, W) -> (N, classes). A family subclasses it with a table of rows, the genome its paper published, and a
    constructor that makes the stages.

    Attributes:
        card: What is published of it.
        genome: What it is built from.
        lineage: Where its weights come from; None while they are random.
        photo: What it was built for: channels, height and width.
    """

    rows: ClassVar[dict[str, Any]]
    card: Card
    genome: Genome
    lineage: Any = None

    @staticmethod
    def published(row: Any) -> Genome:
        """The genome of the net that `row` describes, as published."""
        raise TypeError("a family says which genome it was published with")

    def __init__(self, row: Any, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__()
        self.genome = genome
        self.photo = channels, *size

    def walk(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each stage's name and output in turn; nothing is kept."""
        for name, stage in self.named_children():
            x = stage(x)
            yield name, x

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for _, y in self.walk(x):  # noqa: B007 - only the last one counts
            pass
        return y

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Every stage's output by the stage's name; `head` is what `forward` returns."""
        return dict(self.walk(x))

    def flattened(self, genome: Genome, width: int, channels: int, size: tuple[int, int]) -> tuple[nn.Module, int]:
        """The flattening of the map of `width` channels that the stages made so far give, and its number of features.

        Only `flatten` asks how large that map is; a pass without memory tells, for photos of (`channels`, *`size`).
        """
        if genome.flattens_whole():
            with torch.device("meta"), torch.no_grad():
                *_, (_, x) = self.walk(torch.empty(1, channels, *size))
            return genome.flatten(width, x.shape[2] * x.shape[3])
        return genome.flatten(width, 1)

    def finish(self, genome: Genome, width: int, channels: int, size: tuple[int, int], classes: int) -> None:
        """Adds the usual head: flattening, dropout, one dense layer; (N, width, H, W) -> (N, classes)."""
        flatten, features = self.flattened(genome, width, channels, size)
        self.head = chain(flatten=flatten, drop=genome.drop(), dense=Dense(features, classes))
