"""Resolve the caller's net for classifying, embedding or detecting; refuse one that cannot do the task."""

from __future__ import annotations

from convatlas.base.errors import ConvAtlasError, WeightsError
from convatlas.nets.families.yolo import YOLO
from convatlas.nets.net import Net
from convatlas.weights.load import load
from convatlas.weights.resolve import find_net, resolve


def classifying_net(net: object, weights: str | None = None) -> Net:
    """Resolve a net to classify with: a name, published weights, or a net that `load` returned.

    Raises:
        ConvAtlasError: It is none of these, or a detector.
        WeightsError: Its weights are random, or its classes have no names.
    """
    module = resolve(net, weights)
    if not isinstance(module, Net):
        raise ConvAtlasError(f"a net is a name, or a net from `load`, not {type(module).__name__}")
    if module.card.output_kind == "raw detector heads":
        raise ConvAtlasError(f"{module.card.name} is a detector, not a classifier: use detect")
    if module.lineage is None:
        raise _random_weights(module)
    if not module.lineage.class_names:
        raise WeightsError(f"this {module.card.name} has no class names: its head is new or was removed")
    return module


def embedding_net(net: str, weights: str | None = None) -> Net:
    """Resolve a net by its name or file, and remove its last layer.

    Raises:
        ConvAtlasError: It has no last layer to remove.
        WeightsError: It has no weights.
    """
    named = find_net(net, weights)
    if named is None:
        return load(net, weights=weights, head=False)
    return load(named.card, weights=named.weights, head=False)


def detecting_net(net: object, weights: str | None = None) -> YOLO:
    """Resolve a net to detect with: a name, or a net that `load` returned.

    Raises:
        ConvAtlasError: It is not a detector, or does not take three channels.
        WeightsError: Its weights are random, or its classes have no names.
    """
    named = find_net(net, weights)
    if named is not None and named.card.family != "yolo":
        raise _not_a_detector(named.card.name)
    module = resolve(named or net, None if named else weights)
    if not isinstance(module, YOLO):
        raise _not_a_detector(module.card.name if isinstance(module, Net) else type(module).__name__)
    if module.lineage is None:
        raise _random_weights(module)
    if not module.lineage.class_names:
        raise WeightsError(f"this {module.card.name} has no class names: its last layer is new")
    check_channels(module)
    return module


def check_channels(net: Net, channels: int | None = None) -> None:
    """Refuse a net that does not take as many channels as preprocessing produces, by default that of its lineage."""
    channels = net.lineage.preprocessing.channels if channels is None else channels
    if net.channels != channels:
        raise ConvAtlasError(f"photos become {channels} channels; this net takes {net.channels}")


def _not_a_detector(name: str) -> ConvAtlasError:
    return ConvAtlasError(f"{name} is not a detector; these are: {', '.join(YOLO.variants)}")


def _random_weights(net: Net) -> WeightsError:
    return WeightsError(f"{net.card.name} has random weights, whose predictions mean nothing; load it with weights")
