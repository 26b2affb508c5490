"""Nets that can answer: resolved from what the caller gave, and checked for the task."""

from __future__ import annotations

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.nets.families.yolo import YOLO
from convatlas.nets.net import Net
from convatlas.weights.load import load
from convatlas.weights.resolve import find_net, resolve


def classifying_net(net: object, weights: str | None = None) -> Net:
    """Resolve a net whose outputs are named classes: a name, published weights, or what `load` returned.

    Raises:
        ConvAtlasError: It is something else, or a detector.
        WeightsError: Its weights are random, or its classes have no names.
    """
    module = resolve(net, weights)
    if not isinstance(module, Net):
        raise ConvAtlasError(f"a net to classify with is a name, or what `load` gave, not {type(module).__name__}")
    if module.card.output_kind == "raw detector heads":
        raise ConvAtlasError(f"{module.card.name} finds boxes, it does not classify: detect with it")
    if module.lineage is None:
        raise WeightsError(f"{module.card.name} has random weights, whose answers mean nothing; load it with weights")
    if not module.lineage.class_names:
        raise WeightsError(f"this {module.card.name} names no classes: its head is fresh, or cut off")
    return module


def embedding_net(net: str, weights: str | None = None) -> Net:
    """Resolve a net by its name or file, and cut its last layer off.

    Raises:
        ConvAtlasError: It has no last layer to cut off.
        WeightsError: It has no weights.
    """
    named = find_net(net, weights)
    if named is None:
        return load(net, weights=weights, head=False)
    return load(named.card, weights=named.weights, head=False)


def detecting_net(net: object, weights: str | None = None) -> YOLO:
    """Resolve a net whose boxes have named classes: a name, or what `load` returned.

    Raises:
        ConvAtlasError: It finds no boxes, or reads no photos.
        WeightsError: Its weights are random, or its classes have no names.
    """
    named = find_net(net, weights)
    if named is not None and named.card.family != "yolo":
        raise _not_a_detector(named.card.name)
    module = resolve(named or net, None if named else weights)
    if not isinstance(module, YOLO):
        raise _not_a_detector(module.card.name if isinstance(module, Net) else type(module).__name__)
    if module.lineage is None:
        raise WeightsError(f"{module.card.name} has random weights, whose answers mean nothing; load it with weights")
    if not module.lineage.class_names:
        raise WeightsError(f"this {module.card.name} names no classes: its last layer is fresh")
    check_channels(module)
    return module


def check_channels(net: Net) -> None:
    """Refuse a net whose input has other channels than a photo has after the preprocessing of its weights."""
    channels = net.lineage.preprocessing.channels
    if net.channels != channels:
        raise ConvAtlasError(f"a photo becomes {channels} channels, this net takes {net.channels}")


def _not_a_detector(name: str) -> ConvAtlasError:
    return ConvAtlasError(f"{name} finds no boxes; these do: {', '.join(YOLO.variants)}")
