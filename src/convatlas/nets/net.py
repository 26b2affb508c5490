"""The base class of all nets of the atlas."""

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
    """A net whose children are its stages, run one after the other; the last one is `head`.

    (N, C, H, W) -> (N, classes). Each family has a subclass with a table of variants, the genome published for each,
    and a constructor that makes the stages.

    Attributes:
        variants: The `Config` of each net of the family, by the net's name.
        card: Published facts and figures.
        genome: Genes that it is built from.
        classes: Number of classes; 0 if the head was cut and the net returns an embedding.
        channels: Number of input channels.
        size: (height, width) of the photos it was built for; only nets that flatten a whole map depend on it.
        lineage: Source of its weights; None while they are random.
        follows: Lineage whose conventions (strides, borders, eps) it follows; empty for the published ones.
        loss_weights: Weight of each auxiliary output's loss relative to the head's, by the output's name.
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
        """Return the genome that the net with this config was published with."""
        raise NotImplementedError("each family defines the genome it was published with")

    def __init__(self, config: Any, genome: Genome, classes: int, channels: int, size: tuple[int, int]):
        super().__init__()
        self.genome = genome
        self.classes, self.channels, self.size = classes, channels, size

    def init_weights(self, module: nn.Module) -> None:
        """Draw the initial weights of one module of the net, by the rule of its family."""
        init_module(module)

    def iter_stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Run the stages one by one, yielding the name and output of each without keeping them."""
        for name, stage in self.named_children():
            x = stage(x)
            yield name, x

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for _, y in self.iter_stages(x):  # noqa: B007 - only the last one counts
            pass
        return y  # (N, classes)

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of all stages by name; that of `head` is what `forward` returns."""
        return dict(self.iter_stages(x))

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of all stages except the head, by name."""
        return {name: y for name, y in self.iter_stages(x) if name != "head"}

    def preprocess(self, photo: Any) -> Tensor:
        """Preprocess a photo to the net's input (channels, h, w), float32, exactly as the lineage's own code does.

        Args:
            photo: Path, bytes, array (H, W, 3) or PIL image.

        Raises:
            ConvAtlasError: The net has random weights, or its number of channels is not that of a preprocessed photo.
            ImageError: The photo cannot be read.
        """
        if self.lineage is None:
            raise ConvAtlasError(f"{self.card.name} has random weights, for which no preprocessing is defined")
        x = torch.from_numpy(self.lineage.prepare(photo))
        check_prepared_channels(len(x), self.channels)
        return x

    def cut_head(self, keep: Sequence[str]) -> None:
        """Remove all modules of the head except `keep`, so that the net returns an embedding (N, features)."""
        kept: dict[str, nn.Module | None] = {name: self.head.get_submodule(name) for name in keep}
        self.head = chain(**kept)
        self.classes = 0

    def make_flatten(self, genome: Genome, width: int, channels: int, size: tuple[int, int]) -> tuple[nn.Module, int]:
        """Return the flattening of the last stage's map of `width` channels, and its number of features.

        If that number depends on the map's size, a pass on the meta device with a photo (`channels`, *`size`) gives it.
        """
        flatten, features = genome.flatten(width)
        if features is None:
            with torch.device("meta"), torch.no_grad():
                photo = torch.empty(1, channels, *size)
                features = flatten([photo, *self.eval().outputs(photo).values()][-1]).shape[1]
            self.train()
        return flatten, features

    def add_classifier(self, genome: Genome, width: int, channels: int, size: tuple[int, int], classes: int) -> None:
        """Add the usual head: flattening, dropout, one dense layer; (N, width, H, W) -> (N, classes)."""
        flatten, features = self.make_flatten(genome, width, channels, size)
        self.head = chain(flatten=flatten, drop=genome.drop(), dense=Dense(features, classes))


def check_prepared_channels(prepared: int, taken: int) -> None:
    """Check that a net takes as many channels as its weights prepare photos with.

    Raises:
        ConvAtlasError: It takes another number.
    """
    if prepared != taken:
        raise ConvAtlasError(f"photos are prepared with {prepared} channels; this net takes {taken}")
