"""From a name to a net with published weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import ConvAtlasError
from convatlas.catalogue.cards import find
from convatlas.nets.build import Size, skeleton
from convatlas.nets.initialize import assign
from convatlas.nets.net import Net
from convatlas.weights import native
from convatlas.weights.adapt import embedding, for_channels, for_classes
from convatlas.weights.cache import converted
from convatlas.weights.files import is_file, opened
from convatlas.weights.lineages.registry import choose, variant
from convatlas.weights.state_io import fits


def load(
    name: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    classes: int | None = None,
    channels: int | None = None,
    head: bool = True,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    like: str | None = None,
    seed: int = 0,
) -> Net:
    """A net with published weights, in evaluation mode, on the CPU; `net.lineage` says all about them.

    Args:
        name: As in `list_nets()`, or as published; or the path of a file that `export` wrote.
        weights: The lineage ("keras", "torchvision/IMAGENET1K_V2", "timm/a1_in1k", "lite", "own/mnist" for what comes
            along), or the path of a file: one that `export` wrote, or one of Keras (.h5, .weights.h5, .keras), PyTorch
            (.pth, .safetensors) or darknet (.weights). The net's first lineage if not said.
        classes: Outputs. Another number than the weights have starts a fresh last layer on the pretrained features.
        channels: Input channels. Another number than the weights have adapts what reads the photo. A file of others
            that holds weights for so many is loaded as it is.
        head: False for the embedding: (N, features), what the last layer would read.
        genes: Other genes, as in `build`; those that add or change weights do not fit published ones.
        size: As in `build`; `net.preprocess` keeps to the size that the lineage published.
        like: Of a file of others by its path: the lineage whose conventions it follows, where its names fit several.
        seed: Of whatever starts at random.

    Raises:
        UnknownName: No such net or gene.
        GeneError: A gene that does not fit the net.
        WeightsError: The net has no such weights, they are not installed, damaged, or do not fit the genes; or what
            depends on its classes or channels cannot be adapted to others.
        ConvAtlasError: An argument that has no place beside the others.
        StoreError: They are not on this machine and could not be downloaded.
    """
    name, weights = _text(name), None if weights is None else _text(weights)
    if is_file(name):
        if weights is not None:
            raise ConvAtlasError(f"{name} holds its weights already: leave out weights=, which says {weights}")
        tensors, described = opened(Path(name), None, like)
    else:
        card = find(name)
        if weights is not None and is_file(weights):
            tensors, described = opened(Path(weights), card, like, size, channels)
        elif like is not None:
            raise ConvAtlasError(f"like= says how to read a file of others, and none is named: leave it out ({like})")
        else:
            tensors, described = converted(choose(card, weights))
    return _net(tensors, described, classes, channels, head, genes, size, seed)


def _text(name: object) -> str:
    text = os.fspath(name) if isinstance(name, os.PathLike) else name
    if not isinstance(text, str):
        raise ConvAtlasError(f"nets and weights are told by a name or a path; got {name!r:.100}")
    return text


def _net(
    tensors: dict[str, Tensor],
    described: native.Description,
    classes: int | None,
    channels: int | None,
    head: bool,
    genes: Mapping[str, object] | None,
    size: Size | None,
    seed: int,
) -> Net:
    card, lineage = find(described.net), described.lineage
    trained = described.classes > 0

    def shaped(classes: int | None, channels: int) -> Net:
        return skeleton(
            card.name,
            classes=classes,
            channels=channels,
            # What is no table of genes `skeleton` refuses.
            genes={**described.genes, **genes} if isinstance(genes, Mapping) else genes or described.genes,
            size=described.size if size is None else size,
            variant=variant(card, described.follows),
        )

    net = shaped(described.classes if trained else classes, described.channels)
    title = f"the {lineage.name if lineage else 'own'} weights of {card.name}"
    fits(tensors, net.state_dict(), title, headless=not trained)
    fresh = not trained
    if trained and classes is not None and classes != described.classes:
        before, net = net, shaped(classes, described.channels)
        tensors = for_classes(tensors, before.state_dict(), net.state_dict(), card.name)
        fresh = True
    if channels is not None and channels != described.channels:
        before, net = net, shaped(net.classes, channels)
        tensors = for_channels(tensors, before.state_dict(), net.state_dict(), card.name, channels)
    if not head or (not trained and classes is None):
        net.cut_head(embedding(net, tensors))
        fresh = True
        kept = net.state_dict()
        tensors = {name: tensor for name, tensor in tensors.items() if name in kept}
    assign(net, tensors, seed)
    net.follows = described.follows
    if lineage is not None:
        lineage = replace(lineage, preprocessing=lineage.preprocessing.for_channels(net.channels))
        net.lineage = lineage.fresh() if fresh else lineage
    return net.eval()
