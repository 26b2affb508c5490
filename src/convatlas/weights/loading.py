"""From a name to a net with published weights."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from convatlas.base.errors import WeightsError
from convatlas.catalogue.cards import find
from convatlas.catalogue.lineages import weights_of
from convatlas.nets.building import Size, skeleton
from convatlas.nets.initialization import assign
from convatlas.nets.net import Net
from convatlas.weights import own, shipped
from convatlas.weights.adapting import for_channels, without_classifier
from convatlas.weights.caching import converted
from convatlas.weights.files import is_file, opened
from convatlas.weights.origins import choose, variant
from convatlas.weights.reading import fits


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
        channels: Input channels. Another number than the weights have adapts what reads the photo.
        head: False for the embedding: (N, features), what the last layer would read.
        genes: Other genes, as in `build`; those that add or change weights do not fit published ones.
        size: As in `build`.
        like: Of a file of others by its path: the lineage whose conventions it follows, where its names fit several.
        seed: Of whatever starts at random.

    Raises:
        UnknownName: No such net or gene.
        GeneError: A gene that does not fit the net.
        WeightsError: The net has no such weights, they are not installed, damaged, or do not fit the genes.
        StoreError: They are not on this machine and could not be downloaded.
    """
    name, weights = os.fspath(name), None if weights is None else os.fspath(weights)
    if is_file(name):
        tensors, described = opened(Path(name), None, like)
    else:
        card = find(name)
        if weights is not None and is_file(weights):
            tensors, described = opened(Path(weights), card, like, size)
        elif weights in shipped.NAMES or (weights is None and not weights_of(card.name) and shipped.has(card.name)):
            tensors, described = shipped.opened(card.name)
        else:
            tensors, described = converted(choose(card, weights))
    return _net(tensors, described, classes, channels, head, genes or {}, size, seed)


def _net(
    tensors: dict[str, Tensor],
    described: own.Description,
    classes: int | None,
    channels: int | None,
    head: bool,
    genes: Mapping[str, object],
    size: Size | None,
    seed: int,
) -> Net:
    card, lineage = find(described.net), described.lineage
    trained = described.classes > 0
    headless = not trained and classes is None
    outputs = classes or described.classes or card.classes or card.outputs
    wide = described.channels if channels is None else channels
    net = skeleton(
        card.name,
        classes=outputs,
        channels=wide,
        genes={**described.genes, **genes},
        size=described.size if size is None else size,
        variant=variant(card, described.follows),
    )
    fresh = outputs != described.classes
    wanted = net.state_dict()
    if trained and fresh:
        tensors = without_classifier(tensors, wanted)
    if wide != described.channels:
        tensors = for_channels(tensors, wanted, wide)
    fits(tensors, wanted, f"the {lineage.name if lineage else 'own'} weights of {card.name}", headless=fresh)
    if headless or not head:
        net.cut_head(_embedding(net, tensors))
        fresh = True
        kept = net.state_dict()
        tensors = {name: tensor for name, tensor in tensors.items() if name in kept}
    assign(net, tensors, seed)
    net.follows = described.follows
    if lineage is not None:
        lineage = replace(lineage, preprocessing=lineage.preprocessing.for_channels(wide))
        net.lineage = lineage.fresh() if fresh else lineage
    return net.eval()


def _embedding(net: Net, tensors: Mapping[str, Tensor]) -> list[str]:
    """The modules of the head in front of the last layer, or in front of the first one that has no weights."""
    parts = [(name, list(module.state_dict())) for name, module in net.head.named_children()]
    last = next((name for name, keys in reversed(parts) if keys), None)
    if last is None:
        raise WeightsError(f"{net.card.name} has no last layer that could be cut off")
    kept = []
    for name, keys in parts:
        if name == last or any(f"head.{name}.{key}" not in tensors for key in keys):
            break
        kept.append(name)
    return kept
