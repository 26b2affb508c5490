"""What every net of the atlas is: named stages in a row, a head, a card, a genome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError
from convatlas.genes.gene import chain
from convatlas.genes.genome import Genome
from convatlas.genes.layers import Dense
from convatlas.nets.module_init import init_module

if TYPE_CHECKING:
    from convatlas.catalogue.cards import Card


class Net(nn.Module):
    """A net whose children are its stages, run one after the other; the last one is called `head`.

    (N, C, H, W) -> (N, classes). A family subclasses it with a table of rows, the genome its paper published, and a
    constructor that makes the stages.

    Attributes:
        card: What is published of it.
        genome: What it is built from.
        classes: How many outputs it has; 0 where the head was cut to give an embedding.
        channels: Of its input.
        size: (height, width) of the photos it was made for; only nets that flatten a map whole depend on it.
        lineage: Where its weights come from; None while they are random.
        follows: The lineage whose conventions (strides, borders, eps) it has; empty for those of its card.
        loss_weights: What the loss of each auxiliary output counts beside the head's, by the output's name.
    """

    variants: ClassVar[dict[str, Any]]
    card: Card
    genome: Genome
    head: nn.Module
    lineage: Any = None
    follows: str = ""
    loss_weights: Mapping[str, float] = {}

    @staticmethod
    def default_genome(config: Any) -> Genome:
        """The genome of the net that `row` describes, as published."""
        raise TypeError("a family says which genome it was published with")

    def __init__(self, config: Any, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__()
        self.genome = genome
        self.classes, self.channels, self.size = classes, channels, size

    def init_weights(self, module: nn.Module) -> None:
        """Random weights and constants for one module of the net, as the family starts it."""
        init_module(module)

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each stage's name and output in turn; nothing is kept."""
        for name, stage in self.named_children():
            x = stage(x)
            yield name, x

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for _, y in self.iter_stages(x):  # noqa: B007 - only the last one counts
            pass
        return y

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Every stage's output by the stage's name; `head` is what `forward` returns."""
        return dict(self.iter_stages(x))

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Every stage's output but the head's, by the stage's name."""
        return {name: y for name, y in self.iter_stages(x) if name != "head"}

    def preprocess(self, photo: Any) -> Tensor:
        """The net's input (channels, h, w), float32, for a photo, exactly as the lineage's own code makes it.

        Args:
            photo: A path, bytes, an array (H, W, 3) or a PIL image.

        Raises:
            ConvAtlasError: The net has random weights, or takes other channels than a photo has.
            ImageError: The photo cannot be read.
        """
        if self.lineage is None:
            raise ConvAtlasError(f"{self.card.name} has random weights, which want no preprocessing of their own")
        x = torch.from_numpy(self.lineage.prepare(photo))
        if len(x) != self.channels:
            raise ConvAtlasError(
                f"a photo becomes {len(x)} channels, this net takes {self.channels}: give it your own tensors"
            )
        return x

    def cut_head(self, keep: Sequence[str]) -> None:
        """Takes off all of the head but the modules called `keep`: what is left gives an embedding (N, features)."""
        kept: dict[str, nn.Module | None] = {name: self.head.get_submodule(name) for name in keep}
        self.head = chain(**kept)
        self.classes = 0

    def flattened(self, genome: Genome, width: int, channels: int, size: tuple[int, int]) -> tuple[nn.Module, int]:
        """The flattening of the map of `width` channels that the stages made so far give, and its number of features.

        Where it depends on the map, a pass without memory tells, for photos of (`channels`, *`size`).
        """
        flatten, features = genome.flatten(width)
        if features is None:
            with torch.device("meta"), torch.no_grad():
                photo = torch.empty(1, channels, *size)
                features = flatten([photo, *self.eval().outputs(photo).values()][-1]).shape[1]
            self.train()
        return flatten, features

    def add_classifier(self, genome: Genome, width: int, channels: int, size: tuple[int, int], classes: int) -> None:
        """Adds the usual head: flattening, dropout, one dense layer; (N, width, H, W) -> (N, classes)."""
        flatten, features = self.flattened(genome, width, channels, size)
        self.head = chain(flatten=flatten, drop=genome.drop(), dense=Dense(features, classes))
