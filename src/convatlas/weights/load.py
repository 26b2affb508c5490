"""Load a net by its name, with published weights or those of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, overload

from torch import Tensor, nn

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.base.files.local import local_path
from convatlas.base.terminal.arguments import argument
from convatlas.base.verbs import path_text
from convatlas.catalogue.cards import Card, find_card
from convatlas.catalogue.lineages import Weights
from convatlas.nets.build import Size, skeleton
from convatlas.nets.initialize import assign
from convatlas.nets.net import Net
from convatlas.nets.user_net import EXPORTED, is_user_net, load_user_net
from convatlas.weights import files, user_weights
from convatlas.weights.adapt import adapt_to_channels, adapt_to_classes, embedding_modules
from convatlas.weights.cache import is_outdated, load_converted
from convatlas.weights.formats import native
from convatlas.weights.formats.state_io import Misfit, check_fit
from convatlas.weights.registry import choose, variant
from convatlas.weights.weights_file import Labels, WeightsFile, read_labels


@overload
def load(
    name: str | os.PathLike[str] | Card,
    *,
    weights: str | os.PathLike[str] | Weights | None = None,
    classes: int | None = None,
    channels: int | None = None,
    head: bool = True,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    convention: str | None = None,
    labels: Labels | None = None,
    seed: int = 0,
) -> Net: ...


@overload
def load(name: user_weights.Own, *, weights: str | os.PathLike[str]) -> user_weights.Own: ...


def load(
    name: Any,
    *,
    weights: str | os.PathLike[str] | Weights | None = None,
    classes: int | None = None,
    channels: int | None = None,
    head: bool = True,
    genes: Mapping[str, object] | None = None,
    size: Size | None = None,
    convention: str | None = None,
    labels: Labels | None = None,
    seed: int = 0,
) -> Any:
    """Load a net with trained weights, on the CPU and in evaluation mode; `net.lineage` says where they come from.

    Args:
        name: Name of the net, as in `list_nets()` or as published; its card; the path of a native file, as written by
            `export`; or a net of your own, as `package.module:callable`, a .pt2 file or a module. Such a net is
            returned itself, and takes no other argument than a file as `weights`.
        weights: Lineage ("keras", "torchvision/IMAGENET1K_V2", "timm/a1_in1k", "lite", or "own/mnist" for bundled
            weights), or the path of a file: a native one, or one of Keras (.h5, .weights.h5, .keras), PyTorch (.pth,
            .safetensors) or darknet (.weights). The net's default lineage if None.
        classes: Number of outputs. If it differs from that of the weights, the last layer starts at random.
        channels: Number of input channels. If it differs from that of the weights, the layers that read the photo are
            adapted; a foreign file with weights for this number is loaded unchanged.
        head: False to cut off the last layer, so that the net gives the embedding (N, features).
        genes: Genes that differ from the published ones, as in `build`; those that add or change weights do not fit
            published weights.
        size: Size of the photos, as in `build`; `net.preprocess` still gives the size that the lineage published.
        convention: Lineage whose conventions a foreign file follows, if its tensors fit several; or a setting of the
            publisher's code, such as "torchvision/transform_input=False".
        labels: Names of the classes of a file, or a text file with one on each line; by default the file's own, those
            of the published weights if there are as many, or numbers.
        seed: Seed of the weights that start at random.

    Raises:
        UnknownName: No such net or gene.
        GeneError: A gene does not fit the net.
        WeightsError: The net has no such weights; they are not installed, are damaged, or do not fit the genes; or
            weights that depend on its classes or channels cannot be adapted to others.
        ConvAtlasError: An argument contradicts another one, or has the wrong type.
        StoreError: The weights are not on this machine and could not be downloaded.
    """
    weights = weights if isinstance(weights, Weights | None) else path_text(weights)
    if isinstance(weights, WeightsFile):
        convention = weights.convention if convention is None else convention
        labels = weights.labels if labels is None else labels
    if isinstance(name, nn.Module) or (isinstance(name, str) and is_user_net(name) and not files.is_weights_file(name)):
        others = (classes, channels, genes or None, size, convention, labels, None if head else False)
        return _load_own(name, weights, any(value is not None for value in others))
    name = name if isinstance(name, Card) else path_text(name)
    request = _Request(classes, channels, head, genes, size, seed)
    if isinstance(name, str) and files.is_weights_file(name):
        if weights is not None:
            raise ConvAtlasError(f"{name} already holds weights: leave out {argument('weights', weights)}")
        tensors, description = files.read(local_path(name, WeightsError), None, convention)
        return _named(_filled(find_card(description.net), tensors, description, request), labels)
    card = name if isinstance(name, Card) else find_card(name)
    if isinstance(weights, str) and files.is_weights_file(weights):
        return _named(
            _filled(card, *files.read(local_path(weights, WeightsError), card, convention, size, channels), request),
            labels,
        )
    if convention is not None:
        raise ConvAtlasError(
            f"{argument('convention')} is only for a foreign file of weights: leave out "
            f"{argument('convention', convention)}"
        )
    if labels is not None:
        raise ConvAtlasError(
            f"{argument('labels')} is only for a file of weights: published weights have names of classes"
        )
    row = weights if isinstance(weights, Weights) else choose(card, weights)
    tensors, description = load_converted(row, card)
    try:
        return _filled(card, tensors, description, request)
    except Misfit:
        # Genes that add weights do not fit; a file that an earlier version converted may not fit the plain net either.
        if not is_outdated(tensors, row, card):
            raise
        return _filled(card, *load_converted(row, card, again=True), request)


def _named(net: Net, labels: Labels | None) -> Net:
    """Give a net from a file its names of classes."""
    if labels is None:
        return net
    names = read_labels(labels)
    if net.lineage is None or len(names) != net.classes:
        raise ConvAtlasError(
            f"{argument('labels')} has {len(names)} names, and this {net.card.name} {net.classes} classes"
        )
    net.lineage = replace(net.lineage, class_names=names)
    return net


def _load_own(net: str | nn.Module, weights: str | Weights | None, changed: bool) -> nn.Module:
    """Load a net of the user with weights from a file."""
    name = net if isinstance(net, str) else type(net).__name__
    if changed:
        raise ConvAtlasError(
            f"{name} is a net of your own, which is loaded as it is: give only a file as {argument('weights')}"
        )
    if weights is None and isinstance(net, str) and net.lower().endswith(EXPORTED):
        return load_user_net(net).eval()
    if not isinstance(weights, str):
        raise WeightsError(
            f"{name} is a net of your own, without published weights: give its file as {argument('weights')}"
        )
    return user_weights.load_named(net, weights) if isinstance(net, str) else user_weights.load_into(net, weights)


@dataclass(frozen=True)
class _Request:
    """What the caller of `load` asked for, with the names of its arguments."""

    classes: int | None
    channels: int | None
    head: bool
    genes: Mapping[str, object] | None
    size: Size | None
    seed: int


def _filled(card: Card, tensors: dict[str, Tensor], description: native.Description, request: _Request) -> Net:
    """Build the described net with the requested classes, channels and head, and load the tensors into it."""
    classes, channels, genes, lineage = request.classes, request.channels, request.genes, description.lineage
    trained = description.classes > 0

    def build(classes: int | None, channels: int) -> Net:
        return skeleton(
            card,
            classes=classes,
            channels=channels,
            # `skeleton` refuses `genes` that are not a mapping.
            genes={**description.genes, **genes} if isinstance(genes, Mapping) else genes or description.genes,
            size=description.size if request.size is None else request.size,
            variant=variant(card, description.follows),
        )

    net = build(description.classes if trained else classes, description.channels)
    title = f"the {lineage.name if lineage else 'native'} weights of {card.name}"
    check_fit(tensors, net.state_dict(), title, headless=not trained)
    fresh = not trained
    if trained and classes is not None and classes != description.classes:
        before, net = net, build(classes, description.channels)
        tensors = adapt_to_classes(tensors, before.state_dict(), net.state_dict(), card.name)
        fresh = True
    if channels is not None and channels != description.channels:
        before, net = net, build(net.classes, channels)
        tensors = adapt_to_channels(tensors, before.state_dict(), net.state_dict(), card.name, channels)
    if not request.head or (not trained and classes is None):
        net.cut_head(embedding_modules(net, tensors))
        fresh = True
        kept = net.state_dict()
        tensors = {name: tensor for name, tensor in tensors.items() if name in kept}
    assign(net, tensors, request.seed)
    net.follows = description.follows
    if lineage is not None:
        lineage = replace(lineage, preprocessing=lineage.preprocessing.for_channels(net.channels))
        net.lineage = lineage.fresh() if fresh else lineage
    return net.eval()
