"""Nets with random weights that compute as a lineage's do."""

from __future__ import annotations

from convatlas.catalogue.cards import find_card
from convatlas.nets.build import skeleton
from convatlas.nets.initialize import initialize
from convatlas.nets.net import Net
from convatlas.weights.registry import variant


def following(name: str, lineage: str, channels: int | None = None) -> Net:
    """In evaluation mode; an empty lineage is the card's own way."""
    net = skeleton(name, channels=channels, variant=variant(find_card(name), lineage))
    initialize(net, 0)
    net.follows = lineage
    return net.eval()
